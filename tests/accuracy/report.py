"""What was measured, in words: on the terminal, and as the part of a page that stands between two marks."""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from math import isinf
from pathlib import Path
from typing import Any, Final

from accuracy.contestants import PEERS
from accuracy.defects import Defect, Seen
from accuracy.measure import Agreement, Measured, Row, Worst
from accuracy.problems import DTYPES, FEW, OPS
from accuracy.records import Sheet

__all__ = ["BEGIN", "END", "excesses", "lines", "number", "page", "parity_lines", "place", "rewritten"]

BEGIN: Final = "<!-- accuracy -->"
END: Final = "<!-- /accuracy -->"
KERAS: Final = "Keras on "


def columns(sheet: Sheet) -> list[str]:
    """List the contestants that were measured, lucid first."""
    found = dict.fromkeys(name for cells in sheet.measured.rows.values() for name in cells)
    return [*filter(is_lucid, found), *(each.title for each in PEERS.values() if each.title in found)]


def is_lucid(title: str) -> bool:
    """Whether a column is lucid's."""
    return title.startswith("lucid")


def number(ulps: float) -> str:
    """Write an error in few digits, never less than it is by more than a hundredth."""
    if isinf(ulps):
        return "inf"
    if ulps >= 1000:
        return re.sub(r"e\+0?", "e", f"{ulps:.0e}")
    return f"{ulps:.2f}" if ulps < 10 else f"{ulps:.0f}"


def place(where: dict[str, Any]) -> str:
    """Say where an error is; each number in full."""
    return ", ".join(f"{name} {value}" for name, value in where.items())  # a float is written in full


def lines(sheet: Sheet) -> Iterator[str]:
    """Write each row, with the worst input of each contestant."""
    for row, cells in sheet.measured.rows.items():
        yield f"{OPS[row.op].title}, {row.dtype}, {row.regime}, {row.labels} labels"
        for name in filter(cells.get, columns(sheet)):
            worst = cells[name]
            mark = f"  OUTSIDE in {worst.exceeding} of {worst.measured}" if worst.exceeding else ""
            yield f"  {name:16} {number(worst.ulps):>6} of {worst.bound:g}{mark}  {place(worst.where)}"


def excesses(measured: Measured) -> Iterator[tuple[Row, str, Worst]]:
    """Find where lucid is outside its bound."""
    for row, cells in measured.rows.items():
        for name, worst in cells.items():
            if is_lucid(name) and worst.exceeding:
                yield row, name, worst


def parity_lines(measured: Measured) -> Iterator[str]:
    """Write how far backends agree."""
    for (dtype, op, a, b), found in measured.parity.items():
        yield (
            f"{dtype}, {OPS[op].title}: {a} and {b} differ in {found.different} of {found.compared} "
            f"({found.different_within} of {found.within} where both are within 0.51 ULP), by at most "
            f"{number(found.apart)} ULP; {found.zeros} are 0 and -0"
        )


# The page


def rewritten(path: Path, sheet: Sheet) -> str:
    """Return a page's text with the part between the marks replaced."""
    before, begin, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{path} lacks the lines {BEGIN} and {END}, between which the tables are written")
    return f"{before}{BEGIN}\n\n{page(sheet)}\n\n{END}{after}"


def page(sheet: Sheet) -> str:
    """Write what was measured, in tables."""
    facts = sheet.facts | {"compared with exact numbers": f"{sheet.results:,} results"}
    listed = "\n".join(f"- {name}: {fact}" for name, fact in facts.items())
    parts = [listed, f"### lucid\n\n{summary(sheet)}", f"Where the worst of them is:\n\n{places(sheet)}"]
    if sheet.measured.parity:
        parts.append(f"### Parity\n\n{parity_table(sheet.measured)}")
    if any(not is_lucid(each) for each in columns(sheet)):
        for dtype in dict.fromkeys(row.dtype for row in sheet.measured.rows):
            parts.append(f"### Beside the peers: {dtype}\n\n{beside(sheet, dtype)}")
    if sheet.measured.refusals:
        parts.append(f"### What peers refuse\n\n{refused(sheet)}")
    if sheet.seen:
        parts.append(f"### Defects of the peers\n\nSeen in this run.\n\n{defects_table(sheet)}")
    return "\n\n".join(parts)


def worst_of(measured: Measured, name: str, wanted: Mapping[str, Collection[str]]) -> Worst | None:
    """Find a contestant's worst in some rows."""
    found = [
        cells[name]
        for row, cells in measured.rows.items()
        if name in cells and all(getattr(row, key) in values for key, values in wanted.items())
    ]
    return max(found, key=lambda worst: worst.ulps, default=None)


def summary(sheet: Sheet) -> str:
    """Write lucid's worst for each operation and dtype, over all regimes."""
    ours = [name for name in columns(sheet) if is_lucid(name)]
    rows = []
    for op, dtype in present(sheet):
        found = [worst_of(sheet.measured, name, {"op": [op], "dtype": [dtype]}) for name in ours]
        bounds = sorted({f"{each.bound:g}" for each in found if each})
        rows.append([OPS[op].title, dtype, " or ".join(bounds), *(cell(each) for each in found)])
    return grid(["", "dtype", "bound", *ours], rows)


def present(sheet: Sheet) -> list[tuple[str, str]]:
    """List the operations and dtypes that were measured, in order."""
    found = {(row.op, row.dtype) for row in sheet.measured.rows}
    return [(op, dtype) for op in OPS for dtype in DTYPES if (op, dtype) in found]


def cell(worst: Worst | None) -> str:
    """Write an error; in bold, if it is outside lucid's bound."""
    if worst is None:
        return ""
    return f"**{number(worst.ulps)}**" if worst.exceeding else number(worst.ulps)


def places(sheet: Sheet) -> str:
    """Write where lucid's worst is, on whatever backend."""
    rows = []
    for op, dtype in present(sheet):
        wanted = {"op": [op], "dtype": [dtype]}
        found = [(worst_of(sheet.measured, name, wanted), name) for name in columns(sheet) if is_lucid(name)]
        worst, name = max(((w, name) for w, name in found if w), key=lambda pair: pair[0].ulps)
        rows.append([OPS[op].title, dtype, number(worst.ulps), name, place(worst.where)])
    return grid(["", "dtype", "ULP", "", "where"], rows)


def beside(sheet: Sheet, dtype: str) -> str:
    """Write lucid and its peers for each regime of a dtype, hard and soft labels together."""
    rows = []
    wanted = [row for row in sheet.measured.rows if row.dtype == dtype and row.regime != FEW]
    keys = dict.fromkeys((op, row.regime) for op in OPS for row in wanted if row.op == op)
    for op, regime in keys:
        where = {"op": [op], "regime": [regime], "dtype": [dtype]}
        found = [worst_of(sheet.measured, name, where) for name in columns(sheet)]
        rows.append([f"{OPS[op].title}, {regime}", *(cell(each) for each in found)])
    return grid(["", *columns(sheet)], rows)


def parity_table(measured: Measured) -> str:
    """Write how far backends agree."""
    rows = [parity_row(key, found) for key, found in measured.parity.items()]
    return grid(
        [
            "",
            "dtype",
            "",
            "compared",
            "differ",
            "both within 0.51 ULP",
            "of these differ",
            "by at most",
            "0 and -0",
        ],
        rows,
    )


def parity_row(key: tuple[str, str, str, str], found: Agreement) -> list[str]:
    """Write how far two backends agree."""
    dtype, op, a, b = key
    counts = (found.compared, found.different, found.within, found.different_within)
    apart = f"{number(found.apart)} ULP" if found.different else ""
    return [OPS[op].title, dtype, f"{a}, {b}", *(f"{n:,}" for n in counts), apart, f"{found.zeros:,}"]


def refused(sheet: Sheet) -> str:
    """List what peers said, once for each dtype."""
    said: dict[tuple[str, str], list[str]] = {}
    for (name, op, dtype), words in sheet.measured.refusals.items():
        said.setdefault((name, words), []).append(f"{OPS[op].title} in {dtype}")
    return "\n".join(f"- {name}, {'; '.join(what)}: `{words}`" for (name, words), what in said.items())


def defects_table(sheet: Sheet) -> str:
    """Write the calls that are wrong, by whom and why."""
    rows = []
    for defect, group in groupby(sheet.seen, lambda seen: seen.defect):
        for returned, same in groupby(group, lambda seen: short(seen.returned)):
            seen = list(same)
            call = f"{OPS[defect.op].title.replace('sum, ', '')}, {defect.dtype}"
            rows.append(
                [named(seen), f"{call}<br>{defect.reason}", at(defect), returned, short(seen[0].exact)]
            )
    return grid(["", "", "at", "returned", "exact"], rows)


def named(seen: Sequence[Seen]) -> str:
    """Name peers; Keras once, for all its backends."""
    titles = [PEERS[each.peer].title for each in seen]
    keras = [title.removeprefix(KERAS) for title in titles if title.startswith(KERAS)]
    others = [title for title in titles if not title.startswith(KERAS)]
    return ", ".join([*others, *([KERAS + ", ".join(keras)] if keras else [])])


def at(defect: Defect) -> str:
    """Write the operands."""
    symbol = "z" if defect.op.startswith("logits") else "p"
    v = f", pos_weight {defect.pos_weight:g}" if defect.pos_weight else ""
    return f"{symbol} = {defect.input:g}, y = {defect.target:g}{v}"


def short(value: float) -> str:
    """Write ten digits; 0 and -0 are the same."""
    return f"{value + 0.0:.10g}"


def grid(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a table."""
    written = [headers, ["---"] * len(headers), *rows]
    return "\n".join(re.sub(r" +\|", " |", f"| {' | '.join(line)} |") for line in written)
