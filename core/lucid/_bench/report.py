"""What was measured, in words: a block of lines for each row, and who wins in the end."""

from collections.abc import Iterator
from statistics import median
from typing import Final, NamedTuple

from lucid._bench.ours import LUCID
from lucid._bench.peers import PEERS
from lucid._bench.problems import OPERATIONS
from lucid._bench.records import Record, Result
from lucid._commands._text import aligned

__all__ = [
    "duels",
    "head",
    "number",
    "power",
    "references",
    "rivals",
    "row_title",
    "status",
    "table",
    "unit",
    "verdict",
]


class Duel(NamedTuple):
    """How many times as fast as a peer lucid is."""

    lead: float
    reference: str
    peer: str
    title: str

    def __str__(self) -> str:
        how = "ahead of" if self.lead >= 1 else "behind"
        return f"{self.reference} is {how} {self.peer}: {number(self.lead)}x: {self.title}"


MORE: Final = 0.2  # processors that are too many, beyond the threads that were asked for
IDLE: Final = 0.9  # the processors that a contestant has, if nothing else runs


def facts(record: Record) -> list[tuple[str, str]]:
    """Say on what machine, and how, it was measured, each fact with its name."""
    machine, plan = record["machine"], record["plan"]
    versions = [f"{name} {version}" for name, version in machine["versions"].items()]
    threads = "one thread each" if plan["threads"] == 1 else f"{plan['threads']} threads each"
    found = [
        ("machine", f"{machine['processor']}, {machine['cores']} cores, {machine['platform']}"),
        ("versions", ", ".join([f"Python {machine['python']}", *versions])),
        ("method", f"{threads}; interleaved runs in a shuffled order, {plan['budget']:g} s a row"),
        (
            "shown",
            "medians and [quartiles]; a lead is a ratio of times in one round: above 1, lucid is faster",
        ),
        *(("absent", f"{name}: {reason}") for name, reason in record["absent"].items()),
    ]
    if (share := processors(record)) < IDLE:
        found.append(
            ("busy", f"contestants had {share:.2f} of a processor; repeat this on a quieter machine")
        )
    return found


def head(record: Record) -> str:
    """Write the facts above the tables."""
    return "\n".join(f"{f'{name}:':9} {fact}" for name, fact in facts(record))


def processors(record: Record) -> float:
    """Return how many processors a contestant had, in the median; less than 1, if others were at work too."""
    had = [entry["processors"] for each in record["results"] for entry in each["contestants"].values()]
    return median(had) if had else 1.0


def table(result: Result, threads: int) -> str:
    """Describe one row: the contestants from the fastest to the slowest, and lucid's lead over each."""
    entries = result["contestants"]
    scale, name_of_unit = unit(result)
    with_memory = any("extra_bytes" in entry for entry in entries.values())
    leads = [f"lead of {each}" for each in references(result)]
    cells = [["", name_of_unit, "", *leads, *(["extra KiB"] if with_memory else [])]]
    for name in sorted(entries, key=lambda name: entries[name]["seconds"]["median"]):
        entry = entries[name]
        extra = f"{entry['extra_bytes'] / 1024:.1f}" if "extra_bytes" in entry else ""
        time = {key: number(value * scale) for key, value in entry["seconds"].items()}
        ratios = (entry["ratios"].get(each) for each in references(result))
        cells.append(
            [
                name,
                time["median"],
                f"[{time['lower']}, {time['upper']}]",
                *map(lead, ratios),
                *([extra] if with_memory else []),
            ]
        )
    lines = [
        row_title(result),
        *(f"  {line}" for line in aligned(cells).splitlines()),
        *notes(result, threads),
    ]
    return "\n".join(lines)


def notes(result: Result, threads: int) -> Iterator[str]:
    """Say what is amiss in a row."""
    for name, reason in result["wrong"].items():
        yield f"  not measured: {name}: a wrong answer: {reason}"
    for name, reason in result["failed"].items():
        yield f"  not measured: {name}: {reason}"
    for name, entry in result["contestants"].items():
        if entry["processors"] > threads + MORE and "threads" not in name:
            yield f"  note: {name} kept {entry['processors']:.1f} processors busy"


def references(result: Result) -> list[str]:
    """Name lucid on each backend, without the variants of it."""
    return [name for name in result["contestants"] if name.startswith(LUCID) and "," not in name]


def row_title(result: Result) -> str:
    """Name a row."""
    op = OPERATIONS[result["operation"]]
    size = "" if op.elements else f", {power(result['size'])} elements"
    return f"{op.title}, {result['dtype']}{size}"


def unit(result: Result) -> tuple[float, str]:
    """Return what seconds are multiplied with, and the unit that this gives."""
    if OPERATIONS[result["operation"]].elements:
        return 1e6, "us a call"
    return 1e9 / result["size"], "ns an element"


def power(size: int) -> str:
    """Write a power of two as one."""
    exponent = size.bit_length() - 1
    return f"2^{exponent}" if size == 1 << exponent and exponent > 9 else str(size)


def number(value: float) -> str:
    """Write three digits, or two below 1."""
    if value < 0.995:
        return f"{value:#.2g}"
    return f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f}"


def lead(ratio: dict[str, float] | None) -> str:
    """Write a ratio and its quartiles."""
    if ratio is None:
        return ""
    return f"{number(ratio['median'])}x [{number(ratio['lower'])}, {number(ratio['upper'])}]"


def rivals(result: Result, reference: str) -> list[str]:
    """Name the peers that lucid on a backend is compared with.

    Those are all of them, for the first backend that was asked for; for another one, its own library.
    """
    peers = [name for name in result["contestants"] if name in PEERS]
    if reference == references(result)[0]:
        return peers
    return [name for name in peers if reference.removeprefix(LUCID) in PEERS[name].requires]


def duels(record: Record) -> Iterator[Duel]:
    """Pair lucid with each rival in each row."""
    for result in record["results"]:
        for reference in references(result):
            for peer in rivals(result, reference):
                ratio = result["contestants"][peer]["ratios"][reference]["median"]
                yield Duel(ratio, reference, peer, row_title(result))


def verdict(record: Record) -> str:
    """Say who wins, and by how much."""
    fought = sorted(duels(record))
    if not fought:
        return "there is no peer to compare lucid with"
    lost = [duel for duel in fought if duel.lead < 1]
    lines = [f"lucid is faster in {len(fought) - len(lost)} of {len(fought)} comparisons with a peer"]
    lines += [f"  {duel}" for duel in lost or fought[:1]]
    return "\n".join(lines)


def status(record: Record) -> int:
    """Return 1 if an answer was wrong, or lucid failed; that a peer can't run here is nothing bad."""
    wrong = any(result["wrong"] for result in record["results"])
    failed = any(name.startswith(LUCID) for result in record["results"] for name in result["failed"])
    return 1 if wrong or failed else 0
