"""What was measured, in words: a block of lines for each case, and who wins in the end."""

from collections.abc import Iterator
from typing import Any, Final

from lucid._bench.ours import LUCID
from lucid._bench.problems import OPERATIONS
from lucid._commands._text import aligned

__all__ = ["case_title", "head", "power", "reference_of", "table", "unit", "verdict"]

FLOOR: Final = "floor"
Result = dict[str, Any]
Record = dict[str, Any]
Duel = tuple[float, str, Result]


def head(record: Record) -> str:
    """Say on what machine, and how, it was measured."""
    machine, plan = record["machine"], record["plan"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    threads = "one thread each" if plan["threads"] == 1 else f"{plan['threads']} threads each"
    lines = [
        f"machine: {machine['processor']}, {machine['cores']} cores, {machine['platform']}",
        f"versions: Python {machine['python']}, {versions}",
        f"method: {threads}; every round measures each contestant once, in a shuffled order, for "
        f"{plan['budget']:g} s a row;",
        "  medians and [quartiles]; ratios are taken within a round; above 1, lucid is faster",
    ]
    lines += [f"absent: {name}: {reason}" for name, reason in record["absent"].items()]
    return "\n".join(lines)


def table(result: Result) -> str:
    """Describe one case: the contestants from the fastest to the slowest, and lucid's lead over each."""
    entries = result["contestants"]
    references = [name for name in entries if name.startswith(LUCID)]
    scale, name_of_unit = unit(result)
    rows = [["", name_of_unit, "", *(f"against {name}" for name in references), *extra_heading(entries)]]
    for name in sorted(entries, key=lambda name: entries[name]["seconds"]["median"]):
        entry = entries[name]
        time = entry["seconds"]
        rows.append(
            [
                name,
                number(time["median"] * scale),
                f"[{number(time['lower'] * scale)}, {number(time['upper'] * scale)}]",
                *(ratio_text(entry["ratios"].get(reference)) for reference in references),
                *extra_cell(entry),
            ]
        )
    lines = [case_title(result), *("  " + line for line in aligned(rows).splitlines())]
    lines += [f"  not measured: {name}: {reason}" for name, reason in result["refused"].items()]
    return "\n".join(lines)


def extra_heading(entries: dict[str, Any]) -> list[str]:
    """Name the column of memory, if that was measured."""
    return ["extra KiB"] if any("extra_bytes" in entry for entry in entries.values()) else []


def extra_cell(entry: dict[str, Any]) -> list[str]:
    """Fill it."""
    return [f"{entry['extra_bytes'] / 1024:.1f}"] if "extra_bytes" in entry else []


def case_title(result: Result) -> str:
    """Name a case."""
    title = OPERATIONS[result["operation"]].title
    size = "" if OPERATIONS[result["operation"]].elements else f", {power(result['size'])} elements"
    return f"{title}, {result['dtype']}{size}"


def unit(result: Result) -> tuple[float, str]:
    """Return what seconds are multiplied with, and the unit that this gives."""
    if OPERATIONS[result["operation"]].elements:
        return 1e6, "us/call"
    return 1e9 / result["size"], "ns/element"


def power(size: int) -> str:
    """Write a power of two as one."""
    exponent = size.bit_length() - 1
    return f"2^{exponent}" if size == 1 << exponent and exponent > 9 else str(size)


def number(value: float) -> str:
    """Write three digits."""
    return f"{value:.{2 if value < 10 else 1 if value < 100 else 0}f}"


def ratio_text(ratio: dict[str, float] | None) -> str:
    """Write a ratio and its quartiles."""
    if ratio is None:
        return ""
    return f"{number(ratio['median'])}x [{number(ratio['lower'])}, {number(ratio['upper'])}]"


def reference_of(result: Result) -> str | None:
    """Choose the contestant that stands for lucid: the first backend that was asked for."""
    return next((name for name in result["contestants"] if name.startswith(LUCID)), None)


def verdict(record: Record) -> str:
    """Say who wins, and by how much."""
    won: list[Duel] = []
    lost: list[Duel] = []
    for ratio, peer, result in duels(record):
        (won if ratio >= 1 else lost).append((ratio, peer, result))
    if not won and not lost:
        return "nobody to compare lucid with"
    lines = [f"lucid is faster than its peers in {len(won)} of {len(won) + len(lost)} comparisons"]
    if won:
        ratio, peer, result = min(won, key=lambda each: each[0])
        lines += [f"  closest: {number(ratio)}x against {peer} ({case_title(result)})"]
    lines += [
        f"  behind: {peer} is {number(1 / ratio)}x faster ({case_title(result)})"
        for ratio, peer, result in sorted(lost, key=lambda each: each[0])
    ]
    return "\n".join(lines)


def duels(record: Record) -> Iterator[Duel]:
    """Pair lucid with each peer in each case."""
    for result in record["results"]:
        reference = reference_of(result)
        for name, entry in result["contestants"].items():
            if reference and name != FLOOR and not name.startswith(LUCID):
                yield entry["ratios"][reference]["median"], name, result
