"""What was measured, as the part of a page that stands between two marks."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from lucid._bench.ours import LUCID
from lucid._bench.peers import FLOOR, PEERS
from lucid._bench.problems import OPERATIONS
from lucid._bench.report import Record, Result, duels, head, number, power, references, rivals, unit

__all__ = ["BEGIN", "END", "page", "parts", "rewritten"]

BEGIN: Final = "<!-- lucid bench -->"
END: Final = "<!-- /lucid bench -->"
TITLES: Final = {FLOOR.name: FLOOR.title, **{name: peer.title for name, peer in PEERS.items()}}
BACKENDS: Final = {"numpy": "NumPy", "torch": "PyTorch", "cupy": "CuPy"}


def rewritten(path: Path, record: Record) -> str:
    """Return a page's text with the part between the marks replaced."""
    before, after = parts(path)
    return f"{before}{BEGIN}\n\n{page(record)}\n\n{END}{after}"


def parts(path: Path) -> tuple[str, str]:
    """Return what stands before and after the marks of a page."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the lines {BEGIN} and {END}, between which the tables are written")
    return before, after


def page(record: Record) -> str:
    """Write the machine, the tables, and where lucid is behind."""
    return "\n\n".join(["```text\n" + head(record) + "\n```", *sections(record), *behind(record)])


def sections(record: Record) -> Iterator[str]:
    """Write a table for each dtype and size, one of single calls, and one of lucid against itself."""
    sized = [each for each in record["results"] if not OPERATIONS[each["operation"]].elements]
    calls = [each for each in record["results"] if OPERATIONS[each["operation"]].elements]
    others = [each for each in sized if OPERATIONS[each["operation"]].against == "peers"]
    alone = [each for each in sized if OPERATIONS[each["operation"]].against != "peers"]
    for (dtype, size), group in groupby(sorted(others, key=kind), kind):
        yield f"### {dtype}, {power(size)} elements: ns an element\n\n{against_peers(list(group))}"
    if calls:
        yield f"### One call: microseconds\n\n{against_peers(calls, with_dtype=True)}"
    if alone:
        yield f"### lucid against itself\n\n{against_itself(alone)}"
    if any("extra_bytes" in entry for each in sized for entry in each["contestants"].values()):
        yield f"### Memory beyond operands and result: KiB\n\n{of_memory(others)}"


def kind(result: Result) -> tuple[str, int]:
    """Return what a table has in common."""
    return result["dtype"], result["size"]


def against_peers(results: Sequence[Result], *, with_dtype: bool = False) -> str:
    """Write one row for each operation, one column for each contestant, with lucid's lead."""
    there = {name for each in results for name in each["contestants"]}
    ours = dict.fromkeys(name for each in results for name in references(each))
    columns = [*ours, *(name for name in TITLES if name in there)]
    rows = []
    for each in results:
        name = OPERATIONS[each["operation"]].title + (f", {each['dtype']}" if with_dtype else "")
        rows.append([name, *(cell(each, column) for column in columns)])
    return grid(["", *map(title, columns)], rows)


def cell(result: Result, name: str) -> str:
    """Write a time, and below it the lead of lucid, bold where it is none."""
    entry = result["contestants"].get(name)
    if entry is None:
        return ""
    time = number(entry["seconds"]["median"] * unit(result)[0])
    first = references(result)[:1] if name == FLOOR.name else []
    rivalled = first or [each for each in references(result) if name in rivals(result, each)]
    leads = [entry["ratios"][each]["median"] for each in rivalled]
    text = ", ".join(f"**{number(x)}x**" if x < 1 and not first else f"{number(x)}x" for x in leads)
    return f"{time}<br>{text}" if text else time


def against_itself(results: Sequence[Result]) -> str:
    """Write how many times as long as the plain call each variant takes."""
    rows = []
    for each in results:
        for name, entry in each["contestants"].items():
            plain = name.partition(",")[0]
            ratio = entry["ratios"].get(plain)
            cells = [short_title(each), title(name), number(entry["seconds"]["median"] * unit(each)[0])]
            rows.append([*cells, f"{number(ratio['median'])}x" if ratio else ""])
    return grid(["", "", "ns an element", "of the plain call's time"], rows)


def of_memory(results: Sequence[Result]) -> str:
    """Write what a call allocates, for those for whom that is known."""
    known = [
        name for each in results for name, entry in each["contestants"].items() if "extra_bytes" in entry
    ]
    columns = [name for name in dict.fromkeys(known) if name != FLOOR.name and "," not in name]
    rows = []
    for each in results:
        found = [each["contestants"].get(name, {}).get("extra_bytes") for name in columns]
        rows.append([short_title(each), *("" if n is None else f"{n / 1024:.0f}" for n in found)])
    return grid(["", *map(title, columns)], rows)


def short_title(result: Result) -> str:
    """Name a row in a table that mixes dtypes and sizes."""
    return f"{OPERATIONS[result['operation']].title}, {result['dtype']}, {power(result['size'])}"


def behind(record: Record) -> Iterator[str]:
    """List what lucid loses."""
    lost = [duel for duel in sorted(duels(record)) if duel.lead < 1]
    fought = len(list(duels(record)))
    yield f"### Where lucid is behind\n\nIn {len(lost)} of {fought} comparisons of this run."
    if lost:
        rows = [[d.title, title(d.reference), title(d.peer), f"{number(d.lead)}x"] for d in lost]
        yield grid(["", "lucid", "peer", "lead"], rows)


def title(name: str) -> str:
    """Name a contestant on a page."""
    if not name.startswith(LUCID):
        return TITLES[name]
    backend, _, variant = name.removeprefix(LUCID).partition(", ")
    return f"lucid on {BACKENDS.get(backend, backend)}" + (f", {variant}" if variant else "")


def grid(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table."""
    lines = [headers, ["---"] * len(headers), *rows]
    return "\n".join(re.sub(r" +\|", " |", f"| {' | '.join(line)} |") for line in lines)
