"""What was measured, as a picture: a row of dots for each operation, or cost against size."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from lucid._bench.markdown import title
from lucid._bench.ours import LUCID
from lucid._bench.peers import FLOOR, PEERS
from lucid._bench.problems import OPERATIONS
from lucid._bench.records import Record, Result
from lucid._bench.report import power, unit

__all__ = ["draw"]

MARKS: Final = dict(zip(PEERS, "sDd^vpX", strict=True))
COLOURS: Final = dict(
    zip(PEERS, ("#7f7f7f", "#d95f02", "#e6ab02", "#1b9e77", "#66a61e", "#7570b3", "#a6761d"), strict=True)
)
LUCIDS: Final = {"numpy": "#0b4fb3", "torch": "#6fa8ff"}
ANOTHER: Final = "#00bcd4"  # backend
FLOOR_LABEL: Final = "floor: x.sum(); y.sum()"
GREY, PALE, DARK = "#bbbbbb", "#eeeeee", "#555555"


def draw(record: Record, path: Path) -> None:
    """Draw a record: against size if there are several sizes, else by operation."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    results = [each for each in record["results"] if OPERATIONS[each["operation"]].against == "peers"]
    if not results:
        raise ValueError("there is nothing to draw: no operation with peers was measured")
    sized = [each for each in results if not OPERATIONS[each["operation"]].elements]
    figure = Figure(layout="constrained")
    FigureCanvasAgg(figure)
    if len({each["size"] for each in sized}) > 1:
        draw_curves(figure, sized)
    else:
        draw_dots(figure, results)
    machine, threads = record["machine"], record["plan"]["threads"]
    figure.supxlabel(
        f"{machine['processor']}; {'one thread' if threads == 1 else f'{threads} threads'} each; medians",
        fontsize="small",
        color=DARK,
    )
    figure.savefig(path, dpi=150, format="png")


def draw_dots(figure: Any, results: Sequence[Result]) -> None:
    """Draw a panel for each dtype, and below it one for the operations that are measured by the call."""
    dtypes = list(dict.fromkeys(each["dtype"] for each in results))
    halves = (
        [each for each in results if bool(OPERATIONS[each["operation"]].elements) == few]
        for few in (False, True)
    )
    groups = list(filter(None, halves))
    heights = [len({each["operation"] for each in group}) + 0.6 for group in groups]
    figure.set_size_inches(max(9.0, 2.2 + 4.4 * len(dtypes)), 1.6 + 0.42 * sum(heights))
    panels = figure.subplots(
        len(groups), len(dtypes), squeeze=False, height_ratios=heights, sharex="row", sharey="row"
    )
    for row, group in zip(panels, groups, strict=True):
        for panel, dtype in zip(row, dtypes, strict=True):
            draw_panel(panel, [each for each in group if each["dtype"] == dtype])
    for panel, dtype in zip(panels[0], dtypes, strict=True):
        panel.set_title(dtype)
    add_legend(figure, panels.ravel())


def draw_panel(panel: Any, results: Sequence[Result]) -> None:
    """Draw the rows of one dtype."""
    for place, result in enumerate(results):
        scale, _ = unit(result)
        panel.axhline(place, color=PALE, zorder=0)
        for name, entry in drawn(result):
            panel.plot(entry["seconds"]["median"] * scale, place, linestyle="", **style(name))
    titles = [OPERATIONS[each["operation"]].title for each in results]
    panel.set_yticks(range(len(results)), titles)
    panel.set_ylim(len(results) - 0.4, -0.6)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:g}")
    panel.grid(axis="x", color=PALE, zorder=0)
    size = "" if OPERATIONS[results[0]["operation"]].elements else f", n = {superscript(results[0]['size'])}"
    panel.set_xlabel(unit(results[0])[1].replace("us ", "µs ") + size)
    panel.spines[["top", "right"]].set_visible(False)


def draw_curves(figure: Any, results: Sequence[Result]) -> None:
    """Draw a panel for each operation and dtype: the time of an element against their number."""
    dtypes = list(dict.fromkeys(each["dtype"] for each in results))
    operations = list(dict.fromkeys(each["operation"] for each in results))
    figure.set_size_inches(max(9.0, 2.2 + 4.4 * len(dtypes)), 1.4 + 3 * len(operations))
    panels = figure.subplots(len(operations), len(dtypes), squeeze=False, sharex=True, sharey="row")
    for row, operation in zip(panels, operations, strict=True):
        for panel, dtype in zip(row, dtypes, strict=True):
            own = [each for each in results if (each["operation"], each["dtype"]) == (operation, dtype)]
            for name in dict.fromkeys(name for each in own for name, _ in drawn(each)):
                points = [
                    (each["size"], each["contestants"][name]["seconds"]["median"] * unit(each)[0])
                    for each in own
                    if name in each["contestants"]
                ]
                look = style(name) | ({"marker": ""} if name == FLOOR.name else {})
                panel.plot(*zip(*points, strict=True), **look)
            panel.set(xscale="log", yscale="log", title=f"{OPERATIONS[operation].title}, {dtype}")
            panel.set_xscale("log", base=2)
            panel.yaxis.set_major_formatter("{x:g}")
            panel.grid(color=PALE)
            panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[-1]:
        panel.set_xlabel("elements")
    for panel in panels[:, 0]:
        panel.set_ylabel("ns an element")
    add_legend(figure, panels.ravel())


def superscript(size: int) -> str:
    """Write a size as matplotlib takes it."""
    return re.sub(r"\^(\d+)", r"$^{\1}$", power(size))


def drawn(result: Result) -> list[tuple[str, dict[str, Any]]]:
    """Order the contestants so that lucid lies on top."""
    return sorted(result["contestants"].items(), key=lambda each: each[0].startswith(LUCID))


def style(name: str) -> dict[str, Any]:
    """Choose how a contestant is drawn."""
    if name == FLOOR.name:
        return {"label": FLOOR_LABEL, "marker": "|", "color": GREY, "markersize": 14, "markeredgewidth": 3}
    look = {"label": title(name), "markeredgecolor": "white"}
    if name.startswith(LUCID):
        colour = LUCIDS.get(name.removeprefix(LUCID), ANOTHER)
        return {**look, "marker": "o", "color": colour, "markersize": 9, "zorder": 3}
    return {**look, "marker": MARKS[name], "color": COLOURS[name], "markersize": 7, "zorder": 2}


def add_legend(figure: Any, panels: Sequence[Any]) -> None:
    """Name each contestant once, above the panels: lucid first, the floor last."""
    lines = {line.get_label(): line for panel in panels for line in panel.get_legend_handles_labels()[0]}
    order = sorted(lines, key=lambda label: (label == FLOOR_LABEL, not label.startswith("lucid")))
    place = {"loc": "outside upper center", "ncols": min(5, len(order)), "frameon": False}
    figure.legend([lines[label] for label in order], order, **place)
