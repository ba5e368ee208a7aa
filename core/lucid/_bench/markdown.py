"""What was measured, as the part of a page that stands between two marks."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby, repeat
from pathlib import Path
from typing import Final

from lucid._bench.ours import LUCID
from lucid._bench.peers import FLOOR, PEERS
from lucid._bench.problems import OPERATIONS
from lucid._bench.records import Record, Result
from lucid._bench.report import duels, facts, number, power, references, rivals, unit

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
    listed = "\n".join(f"- {name}: {fact}" for name, fact in facts(record))
    return "\n\n".join([listed, *sections(record), *behind(record)])


def sections(record: Record) -> Iterator[str]:
    """Write tables for each of lucid's backends, one of lucid against itself, and one of memory."""
    results = record["results"]
    others = [each for each in results if OPERATIONS[each["operation"]].against == "peers"]
    sized = sorted((each for each in others if not OPERATIONS[each["operation"]].elements), key=kind)
    calls = [each for each in others if OPERATIONS[each["operation"]].elements]
    alone = [each for each in results if OPERATIONS[each["operation"]].against != "peers"]
    for reference in dict.fromkeys(name for each in others for name in references(each)):
        for (dtype, size), group in groupby(sized, kind):
            table = against_peers(list(group), reference)
            yield f"### {title(reference)}: {dtype}, {power(size)} elements\n\nns an element\n\n{table}"
        if calls:
            table = against_peers(calls, reference, with_dtype=True)
            yield f"### {title(reference)}: one call\n\nmicroseconds\n\n{table}"
    if alone:
        yield f"### Variants\n\nTheir time, in that of the plain call.\n\n{against_itself(alone)}"
    if any("extra_bytes" in entry for each in sized for entry in each["contestants"].values()):
        yield f"### Memory\n\nKiB at the peak, beyond operands and result.\n\n{of_memory(sized)}"


def kind(result: Result) -> tuple[str, int]:
    """Return what a table has in common."""
    return result["dtype"], result["size"]


def against_peers(results: Sequence[Result], reference: str, *, with_dtype: bool = False) -> str:
    """Write one row for each operation, one column for each rival of lucid on a backend."""
    results = [each for each in results if reference in each["contestants"]]
    compared = {name for each in results for name in rivals(each, reference)}
    columns = [reference, FLOOR.name, *(name for name in PEERS if name in compared)]
    rows = []
    for each in results:
        name = OPERATIONS[each["operation"]].title + (f", {each['dtype']}" if with_dtype else "")
        rows.append([name, *(cell(each, column, reference) for column in columns)])
    return grid(["", "lucid", *map(title, columns[1:])], rows)


def cell(result: Result, name: str, reference: str) -> str:
    """Write a time, and below it the lead of lucid; in bold, where a peer leads."""
    entry = result["contestants"].get(name)
    if entry is None:
        return ""
    time = number(entry["seconds"]["median"] * unit(result)[0])
    if name == reference:
        return time
    lead = entry["ratios"][reference]["median"]
    return f"{time}<br>**{number(lead)}x**" if lead < 1 and name in PEERS else f"{time}<br>{number(lead)}x"


def against_itself(results: Sequence[Result]) -> str:
    """Write how many times as long as the plain call each variant takes."""
    rows: dict[str, dict[str, str]] = {}
    for each in results:
        for name, entry in each["contestants"].items():
            plain, _, variant = name.partition(", ")
            if variant and plain in entry["ratios"]:
                ratio = number(entry["ratios"][plain]["median"])
                cells = rows.setdefault(f"{variant}, {power(each['size'])} elements", {})
                cells[f"{title(plain)}, {each['dtype']}"] = f"{ratio}x"
    columns = list(dict.fromkeys(column for cells in rows.values() for column in cells))
    return grid(
        ["", *columns], [[name, *map(cells.get, columns, repeat(""))] for name, cells in rows.items()]
    )


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
