"""Measure how far the losses are from the exact ones, in units of the last place.

    python tests/accuracy                     # lucid on every backend that can run here, a quick set
    python tests/accuracy --full --peers --markdown docs/accuracy.md --json accuracy.json
    python tests/accuracy --backend torch --dtype float32 --op loss logits-loss
    python tests/accuracy --parity            # also how often backends differ by a bit
    PYTHONPATH=tests python -m cuda_on_cpu -m accuracy    # with CuPy, without a GPU

Each row is an operation in a regime of its operands, with hard or soft labels; it shows the worst error and
the operands where it is. Float16 and bfloat16 are measured at every probability and every logit. The exit
status is 1 if lucid is outside a bound of its conformance kit (lucid.testing.harness), and 2 if nothing
could be measured. Needs gmpy2, and pip's "test" group.
"""

import argparse
import sys
from itertools import product
from pathlib import Path

if not __package__:  # run as a folder
    sys.path[0] = str(Path(__file__).parent.parent)

from accuracy import defects, records, report
from accuracy.contestants import DISTRIBUTIONS, PEERS, Contestant, Lucid
from accuracy.measure import Measured, measure
from accuracy.problems import DTYPES, OPS, cases
from lucid._bench.machine import described
from lucid.errors import LucidError

BACKENDS = ("numpy", "torch", "cupy")


def parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    found = argparse.ArgumentParser(
        "accuracy", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    found.add_argument("--full", action="store_true", help="many more elements, sums of 10^7")
    able_to = f"lucid's: {' '.join(BACKENDS)}, if they can run"
    found.add_argument("--backend", nargs="+", metavar="NAME", help=able_to)
    found.add_argument("--dtype", nargs="+", choices=DTYPES, default=DTYPES)
    found.add_argument("--op", nargs="+", choices=OPS, default=tuple(OPS))
    found.add_argument("--peers", action="store_true", help=f"also {', '.join(PEERS)}, if installed")
    found.add_argument("--parity", action="store_true", help="say how often backends differ")
    found.add_argument("--markdown", type=Path, metavar="FILE", help=f"write tables below {report.BEGIN}")
    found.add_argument(
        "--read", nargs="+", type=Path, metavar="FILE", help="take what --json wrote, measure nothing"
    )
    found.add_argument("--json", type=Path, metavar="FILE", help="write all of it")
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure and report."""
    options = parser().parse_args(arguments)
    try:
        sheet = read(options.read) if options.read else measured(options)
    except (LucidError, OSError) as error:
        print(f"accuracy: {error}", file=sys.stderr)
        return 2
    show(sheet, parity=options.parity)
    if options.json:
        options.json.write_text(records.as_json(sheet), encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(report.rewritten(options.markdown, sheet), encoding="utf-8")
    return verdict(sheet)


def read(files: list[Path]) -> records.Sheet:
    """Read what was measured, perhaps in a run for each dtype."""
    return records.from_json(each.read_text(encoding="utf-8") for each in files)


def able(names: list[str] | None) -> list[Lucid]:
    """Choose the backends that can run; those that were named must."""
    found = []
    for name in names or BACKENDS:
        try:
            Lucid(name).backend  # noqa: B018  # it may be an error
            found.append(Lucid(name))
        except LucidError:
            if names:
                raise
    return found


def measured(options: argparse.Namespace) -> records.Sheet:
    """Go through the table."""
    contestants: list[Contestant] = [*able(options.backend)]
    peers = {name: peer for name, peer in PEERS.items() if options.peers and peer.installed}
    into = Measured()
    for dtype, kernel in product(options.dtype, dict.fromkeys(OPS[name].kernel for name in options.op)):
        print(f"{dtype}, {kernel} ...", file=sys.stderr, flush=True)
        measure(cases(kernel, dtype, full=options.full), options.op, [*contestants, *peers.values()], into)
    machine = described(DISTRIBUTIONS)
    versions = [f"{name} {version}" for name, version in machine["versions"].items()]
    facts = {
        "machine": f"{machine['processor']}, {machine['platform']}",
        "versions": ", ".join([f"Python {machine['python']}", *versions]),
        "set": "full" if options.full else "quick",
    }
    return records.Sheet(facts, into, list(defects.see(peers)))


def show(sheet: records.Sheet, *, parity: bool) -> None:
    """Print the rows."""
    for line in report.lines(sheet):
        print(line)
    if parity:
        print(*report.parity_lines(sheet.measured), sep="\n")


def verdict(sheet: records.Sheet) -> int:
    """Say whether lucid keeps its bounds."""
    outside = list(report.excesses(sheet.measured))
    for row, name, worst in outside:
        print(
            f"OUTSIDE: {name}, {', '.join(row)}: {report.number(worst.ulps)} ULP, allowed {worst.bound:g}, "
            f"in {worst.exceeding} of {worst.measured}; {report.place(worst.where)}"
        )
    print(f"{sheet.results:,} results; lucid is outside its bounds in {len(outside)} rows")
    return 1 if outside else 0


if __name__ == "__main__":
    sys.exit(main())
