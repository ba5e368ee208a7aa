"""`lucid bench`: how fast the losses are here, beside those of the libraries that are installed."""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from lucid._bench import markdown, records, report, session
from lucid._bench.peers import PEERS
from lucid._bench.problems import DTYPES, OPERATIONS
from lucid._bench.worker import Plan
from lucid._commands._text import add_texts

__all__ = ["add", "run"]

HELP: Final = "measure the speed of the losses beside that of other libraries"
DESCRIPTION: Final = """\
Measure how fast the losses are, beside those of the libraries that are installed. All run in one
process with one thread each, unless asked otherwise: every contestant once in each round, in a
shuffled order. Medians and quartiles are shown, of the times and of the ratios. A contestant whose
answer is wrong is not measured. Needs python -m pip install "lucid-bce[bench]"
"""
EPILOG: Final = """\
operations:
{operations}

peers:
{peers}

exit status:
  0 if all went well, 1 if lucid or a peer gave a wrong answer or lucid failed, 2 if nothing could
  be measured or shown

examples:
  lucid bench --quick
  lucid bench --op mean gradient --dtype float32 --peer torch jax
  lucid bench --op mean --size 2^16..2^27 --plot cost.png
  lucid bench --memory --json speed.json
  lucid bench --read speed.json --plot speed.png
"""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("bench", help=HELP)
    operations = "\n".join(f"  {each.name:16} {each.title}" for each in OPERATIONS.values())
    peers = "\n".join(f"  {each.name:16} {each.title}" for each in PEERS.values())
    add_texts(parser, DESCRIPTION, EPILOG.format(operations=operations, peers=peers))
    what = parser.add_argument_group("what is measured")

    def several(flag: str, help: str, **options: Any) -> None:
        what.add_argument(flag, nargs="+", action="extend", **{"metavar": "NAME", "help": help, **options})

    several("--op", "operations (all)", choices=OPERATIONS)
    several("--dtype", f"{', '.join(DTYPES)} (the last two)", choices=DTYPES)
    several("--size", "elements: 1000, 2^22 or 2^16..2^27 (2^22)", type=sizes, metavar="N")
    several("--backend", "lucid's backends; the first one leads (numpy torch)")
    several("--peer", "whom lucid is compared with, or none (all)", choices=[*PEERS, "none"])
    what.add_argument("--memory", action="store_true", help="also bytes beyond operands and result")
    how = parser.add_argument_group("how")
    how.add_argument("--threads", type=at_least_one, default=1, metavar="N", help="threads for each (1)")
    how.add_argument("--seconds", type=seconds, metavar="S", help="time for a row (5)")
    how.add_argument("--seed", type=int, default=0, metavar="N", help="of the order of the runs (0)")
    how.add_argument("--quick", action="store_true", help="float32, 2^18 elements, 0.3 s a row, by default")
    shown = parser.add_argument_group("what becomes of it, beside the tables on the terminal")
    shown.add_argument("--json", type=Path, metavar="FILE", help="write all of it")
    shown.add_argument("--plot", type=Path, metavar="FILE.png", help="draw it; cost against size, if several")
    shown.add_argument(
        "--markdown", type=Path, metavar="FILE.md", help=f"write tables below {markdown.BEGIN}"
    )
    shown.add_argument("--read", type=Path, metavar="FILE", help="measure nothing; take what --json wrote")
    parser.set_defaults(run=run)


def sizes(text: str) -> list[int]:
    """Read a number of elements, or a range of powers of two."""
    if found := re.fullmatch(r"2\^(\d\d?)(?:\.\.2\^(\d\d?))?", text):
        first, last = int(found[1]), int(found[2] or found[1])
        if first <= last:
            return [1 << exponent for exponent in range(first, last + 1)]
    if text.isdecimal() and int(text):
        return [int(text)]
    raise argparse.ArgumentTypeError(f"{text!r} is no number of elements such as 1000, 2^22 or 2^16..2^27")


def at_least_one(text: str) -> int:
    """Read a number of threads."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of threads")
    return int(text)


def seconds(text: str) -> float:
    """Read a time."""
    try:
        if 0 < float(text) <= 3600:
            return float(text)
    except ValueError:
        pass
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0, up to an hour")


def plan_of(options: argparse.Namespace) -> Plan:
    """Fill in what was not said."""
    size, dtypes, budget = (
        (2**18, ["float32"], 0.3) if options.quick else (2**22, ["float32", "float64"], 5.0)
    )
    return Plan(
        operations=list(dict.fromkeys(options.op or OPERATIONS)),
        dtypes=list(dict.fromkeys(options.dtype or dtypes)),
        sizes=sorted({each for several in options.size or [[size]] for each in several}),
        backends=list(dict.fromkeys(options.backend or ["numpy", "torch"])),
        peers=[name for name in dict.fromkeys(options.peer or PEERS) if name != "none"],
        threads=options.threads,
        budget=options.seconds or budget,
        rounds=7,
        memory=options.memory,
        seed=options.seed,
    )


def run(options: argparse.Namespace) -> int:
    """Measure, and say who wins."""
    try:
        check(options)
        record = records.read(options.read) if options.read else measured(plan_of(options))
        write(record, options)
    except (OSError, ValueError, session.BrokenOffError) as error:
        print(f"lucid: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("lucid: interrupted; nothing was written", file=sys.stderr)
        return 130
    print(report.head(record))
    for result in record["results"]:
        print(f"\n{report.table(result, record['plan']['threads'])}")
    print(f"\n{report.verdict(record)}")
    return report.status(record)


def check(options: argparse.Namespace) -> None:
    """Find out, before anything is measured, what would keep the results from being shown."""
    needed = (["matplotlib"] if options.plot else []) + ([] if options.read else ["tqdm"])
    if missing := [name for name in needed if find_spec(name) is None]:
        raise ValueError(f'this needs {" and ".join(missing)}; python -m pip install "lucid-bce[bench]"')
    for path in filter(None, (options.json, options.plot)):
        if not path.parent.is_dir():
            raise ValueError(f"there is no folder {path.parent} to write {path.name} to")
    if options.plot and options.plot.suffix != ".png":
        raise ValueError(f"the picture is a PNG; name it {options.plot.with_suffix('.png')}")
    if options.plot and not any(OPERATIONS[name].against == "peers" for name in options.op or OPERATIONS):
        raise ValueError("the picture shows lucid beside its peers, and --op names no operation with peers")
    if options.markdown:
        markdown.parts(options.markdown)


def write(record: records.Record, options: argparse.Namespace) -> None:
    """Write the files that were asked for."""
    if options.json:
        options.json.write_text(records.as_json(record), encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(markdown.rewritten(options.markdown, record), encoding="utf-8")
    if options.plot:
        from lucid._bench.plot import draw

        draw(record, options.plot)


def measured(plan: Plan) -> records.Record:
    """Measure, with a bar that shows how far it is."""
    with bar() as watch:
        return session.measured(plan, watch)


@contextmanager
def bar() -> Iterator[Callable[[dict[str, Any]], None]]:
    """Show how far it is, where a person looks on."""
    from tqdm import tqdm

    form = "{percentage:3.0f}% {bar:20} {elapsed}, {remaining} left: {desc}"
    with tqdm(bar_format=form, total=1, smoothing=0, leave=False, disable=None, file=sys.stderr) as shown:
        rows = 0
        title = ""

        def watch(event: dict[str, Any]) -> None:
            nonlocal rows, title
            if event["event"] == "rows":
                rows = 0
                shown.reset(event["total"])
            elif event["event"] == "row":
                title = report.row_title(event)
                shown.set_description_str(title)
            elif event["event"] == "preparing":
                shown.set_description_str(f"{title}: preparing {event['name']}")
            elif event["event"] == "progress":
                shown.set_description_str(title, refresh=False)
                shown.update(rows + event["share"] - shown.n)
            elif event["event"] == "result":
                rows += 1
                shown.update(rows - shown.n)

        yield watch
