"""What was measured, as a picture: a row of dots for each operation, or cost against size."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from lucid._bench.markdown import title
from lucid._bench.ours import LUCID
from lucid._bench.peers import FLOOR, PEERS
from lucid._bench.problems import OPERATIONS
from lucid._bench.report import Record, Result, power, unit

__all__ = ["draw"]

MARKS: Final = dict(zip(PEERS, "sDd^vpX", strict=True))
COLOURS: Final = dict(
    zip(PEERS, ("#7f7f7f", "#d95f02", "#e6ab02", "#1b9e77", "#66a61e", "#7570b3", "#a6761d"), strict=True)
)
LUCIDS: Final = ("#0b4fb3", "#6fa8ff", "#00bcd4")  # one for each backend
FLOORS: Final = "#bbbbbb"


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
        color="#555555",
    )
    figure.savefig(path, dpi=150, format="png")


def draw_dots(figure: Any, results: Sequence[Result]) -> None:
    """Draw a panel for each dtype, and below it one for the operations that are measured by the call."""
    dtypes = list(dict.fromkeys(each["dtype"] for each in results))
    heights = []
    groups = []
    for few in (False, True):
        group = [each for each in results if bool(OPERATIONS[each["operation"]].elements) is few]
        if group:
            groups.append(group)
            heights.append(len({each["operation"] for each in group}) + 0.6)
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
        panel.axhline(place, color="#eeeeee", zorder=0)
        for name, entry in drawn(result):
            panel.plot(entry["seconds"]["median"] * scale, place, linestyle="", **style(name, result))
    titles = [OPERATIONS[each["operation"]].title for each in results]
    panel.set_yticks(range(len(results)), titles)
    panel.set_ylim(len(results) - 0.4, -0.6)
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter("{x:g}")
    panel.grid(axis="x", color="#eeeeee", zorder=0)
    size = "" if OPERATIONS[results[0]["operation"]].elements else f" (n = {power(results[0]['size'])})"
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
                panel.plot(*zip(*points, strict=True), **style(name, own[0]))
            panel.set(xscale="log", yscale="log", title=f"{OPERATIONS[operation].title}, {dtype}")
            panel.set_xscale("log", base=2)
            panel.yaxis.set_major_formatter("{x:g}")
            panel.grid(color="#eeeeee")
            panel.spines[["top", "right"]].set_visible(False)
    for panel in panels[-1]:
        panel.set_xlabel("elements")
    for panel in panels[:, 0]:
        panel.set_ylabel("ns an element")
    add_legend(figure, panels.ravel())


def drawn(result: Result) -> list[tuple[str, dict[str, Any]]]:
    """Order the contestants so that lucid lies on top."""
    return sorted(result["contestants"].items(), key=lambda each: each[0].startswith(LUCID))


def style(name: str, result: Result) -> dict[str, Any]:
    """Choose how a contestant is drawn."""
    if name.startswith(LUCID):
        place = [each for each in result["contestants"] if each.startswith(LUCID)].index(name)
        look = {"marker": "o", "color": LUCIDS[place % len(LUCIDS)], "markersize": 9, "zorder": 3}
    elif name == FLOOR.name:
        look = {"marker": "|", "color": FLOORS, "markersize": 14, "markeredgewidth": 3, "zorder": 1}
    else:
        look = {"marker": MARKS[name], "color": COLOURS[name], "markersize": 7, "zorder": 2}
    label = "floor: x.sum(); y.sum()" if name == FLOOR.name else title(name)
    return {"label": label, "markeredgecolor": look["color"] if name == FLOOR.name else "white", **look}


def add_legend(figure: Any, panels: Sequence[Any]) -> None:
    """Name each contestant once, above the panels."""
    handles = {
        label: line
        for panel in panels
        for line, label in zip(*panel.get_legend_handles_labels(), strict=True)
    }
    order = sorted(handles, key=lambda label: not label.startswith("lucid"))
    figure.legend(
        [handles[label] for label in order],
        order,
        loc="outside upper center",
        ncols=min(5, len(order)),
        frameon=False,
    )
