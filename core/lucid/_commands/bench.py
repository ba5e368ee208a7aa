"""`lucid bench`: how fast the losses are here, beside those of the libraries that are installed."""

import argparse
import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from lucid._bench import report, session
from lucid._bench.peers import PEERS
from lucid._bench.problems import DTYPES, OPERATIONS
from lucid._bench.worker import Plan
from lucid._commands._text import add_texts

__all__ = ["add", "run"]

HELP: Final = "measure the losses' speed beside that of other libraries"
DESCRIPTION: Final = """\
Measure how fast the losses are, beside those of the libraries that are installed: interleaved runs
in a process of their own, one thread each unless asked, medians and quartiles of the times and of
the ratios. A contestant whose answer is wrong is not measured.
Needs python -m pip install "lucid-bce[bench]"
"""
EPILOG: Final = """\
operations:
{operations}

exit status:
  0 if all was measured, 1 if a contestant failed or was wrong, 2 if nothing could be measured

examples:
  lucid bench --quick
  lucid bench --op mean gradient --dtype float32 --peer torch jax
  lucid bench --op mean --size 2^16..2^27 --plot cost.png
  lucid bench --json speed.json --plot speed.png
"""
QUICK: Final[dict[str, Any]] = {"size": [2**18], "dtype": ["float32"], "seconds": 0.3}


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("bench", help=HELP)
    listed = "\n".join(f"  {each.name:16} {each.title}" for each in OPERATIONS.values())
    add_texts(parser, DESCRIPTION, EPILOG.format(operations=listed))
    several = {"nargs": "+", "action": "extend", "metavar": "NAME"}
    parser.add_argument("--op", **several, choices=OPERATIONS, help="which operations (all)")
    parser.add_argument("--dtype", **several, choices=DTYPES, help=f"{', '.join(DTYPES)} (the last two)")
    parser.add_argument(
        "--size",
        nargs="+",
        action="extend",
        type=sizes,
        metavar="N",
        help="how many elements: 1000, 2^22 or 2^16..2^27 (2^22)",
    )
    parser.add_argument(
        "--backend", nargs="+", action="extend", metavar="NAME", help="lucid's backends (numpy torch)"
    )
    parser.add_argument(
        "--peer", nargs="*", action="extend", metavar="NAME", choices=PEERS, help=f"{', '.join(PEERS)} (all)"
    )
    parser.add_argument("--threads", type=positive, default=1, metavar="N", help="threads for each (1)")
    parser.add_argument("--seconds", type=float, metavar="S", help="time to spend on a row (4)")
    parser.add_argument("--seed", type=int, default=0, help="of the order of the runs (0)")
    parser.add_argument(
        "--quick", action="store_true", help="2^18 elements, float32, 0.3 s a row, unless said otherwise"
    )
    parser.add_argument(
        "--memory",
        action="store_true",
        help="also the bytes that NumPy allocates at the peak, beyond inputs and result",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.set_defaults(run=run, parser=parser)


def sizes(text: str) -> list[int]:
    """Read a number of elements, or a range of powers of two."""
    if found := re.fullmatch(r"2\^(\d+)\.\.2\^(\d+)", text):
        return [1 << n for n in range(int(found[1]), int(found[2]) + 1)]
    found = re.fullmatch(r"2\^(\d+)|(\d+)", text)
    if not found or (size := 1 << int(found[1]) if found[1] else int(found[2])) < 1:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of elements such as 1000, 2^22 or 2^16..2^27"
        )
    return [size]


def positive(text: str) -> int:
    """Read a number of threads."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of threads")
    return int(text)


def plan_of(options: argparse.Namespace) -> Plan:
    """Fill in what was not said."""
    quick: dict[str, Any] = QUICK if options.quick else {}
    return Plan(
        operations=list(dict.fromkeys(options.op or OPERATIONS)),
        dtypes=list(dict.fromkeys(options.dtype or quick.get("dtype", ["float32", "float64"]))),
        sizes=sorted({each for several in options.size or [] for each in several})
        or quick.get("size", [2**22]),
        backends=list(dict.fromkeys(options.backend or ["numpy", "torch"])),
        peers=list(PEERS if options.peer is None else dict.fromkeys(options.peer)),
        threads=options.threads,
        budget=options.seconds or quick.get("seconds", 4.0),
        rounds=3 if options.quick else 5,
        memory=options.memory,
        seed=options.seed,
    )


def run(options: argparse.Namespace) -> int:
    """Measure, and say who wins."""
    missing = [name for name in ("tqdm",) if find_spec(name) is None]
    if missing:
        print(
            f'lucid: bench needs {", ".join(missing)}; python -m pip install "lucid-bce[bench]"',
            file=sys.stderr,
        )
        return 2
    plan = plan_of(options)
    record: dict[str, Any] = {
        "machine": session.machine(plan),
        "plan": plan._asdict(),
        "absent": {},
        "results": [],
    }
    try:
        with bar() as advance:
            for event in session.events(plan):
                advance(event)
                note(record, event)
    except session.BrokenOffError as error:
        print(f"lucid: {error}", file=sys.stderr)
        return 2
    print(report.head(record))
    for result in record["results"]:
        print(f"\n{report.table(result)}")
    print(f"\n{report.verdict(record)}")
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n")
    return 1 if any(result["refused"] for result in record["results"]) else 0


def note(record: dict[str, Any], event: dict[str, Any]) -> None:
    """Keep what lasts of what the measuring process reports."""
    kind = event.pop("event")
    if kind == "absent":
        record["absent"][event["name"]] = event["reason"]
    elif kind == "result":
        record["results"].append(event)


@contextmanager
def bar() -> Iterator[Any]:
    """Show how far it is."""
    from tqdm import tqdm

    with tqdm(bar_format="{l_bar}{bar}| {elapsed} (left: {remaining})", file=sys.stderr) as shown:
        whole = 0

        def advance(event: dict[str, Any]) -> None:
            nonlocal whole
            match event["event"]:
                case "cases":
                    shown.reset(event["total"])
                case "case":
                    shown.set_description_str(report.case_title(event))
                case "progress":
                    shown.update(whole + event["share"] - shown.n)
                case "result":
                    whole += 1
                    shown.update(whole - shown.n)

        yield advance
