"""What the door costs: importing lucid, finding the backend of an array, and calling its kernel.

Everything is run in turn, many times; what is shown is the median of the differences. Selecting is what has
to be done before a kernel can be called at all: recognise the class of the operands, see that they are of one
library, look up the kernel. The front end is all that a criterion adds to its kernel, the checks of the
operands and of the result included.

    python tests/benchmarks/door.py
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from statistics import median
from typing import Any, NamedTuple

import lucid
from lucid import nn
from lucid._bench.measure import race
from lucid._bench.ours import unusable
from lucid._bench.problems import OPERATIONS, pose
from lucid._selection import backend_of, require_same
from lucid.protocol import LossSpec

SECONDS = 5.0  # for the calls of a library
STARTS = 25  # of Python, for each import
OWN = re.compile(r"import time: +(\d+) \| +\d+ \| +lucid\b")


class Figure(NamedTuple):
    """What something costs, and may cost."""

    what: str
    costs: float
    unit: str
    limit: float | None = None

    def __str__(self) -> str:
        limit = f"(at most {self.limit:g})" if self.limit else ""
        return f"{self.what:62}{self.costs:7.2f} {self.unit}  {limit}".rstrip()


def calls(name: str) -> Iterator[Figure]:
    """Call a kernel, a kernel through the door, and a criterion."""
    problem, spec = pose(OPERATIONS["call"], "float32", 32), LossSpec()
    backend, criterion = lucid.get_backend(name), nn.BCELoss()
    x, y = backend.asarray(problem.x), backend.asarray(problem.y)
    kernel = backend.bce

    def alone() -> Any:
        return kernel.forward(spec, x, y, None, None, needs_grad=False)[0]

    def selected() -> Any:
        found = backend_of(x)
        assert found is not None
        require_same("input", found, "target", backend)
        return found.bce.forward(spec, x, y, None, None, needs_grad=False)[0]

    runs: dict[str, Callable[[], Any]] = {
        "alone": alone,
        "selected": selected,
        "all": lambda: criterion(x, y),
    }
    seconds = race(runs, SECONDS).seconds
    over = {
        run: 1e6 * median(one - other for one, other in zip(seconds[run], seconds["alone"], strict=True))
        for run in ("selected", "all")
    }
    yield Figure(f"{name}: the kernel alone, 32 elements", 1e6 * median(seconds["alone"]), "us")
    yield Figure(f"{name}: selecting, and calling through it, over that", over["selected"], "us", 2)
    yield Figure(f"{name}: the whole front end, over that", over["all"], "us")


def imports() -> Iterator[Figure]:
    """Start Python again and again, and take the processor's time, which other programs hardly lengthen."""
    over: dict[str, list[float]] = {"import lucid": [], "import lucid.nn": []}
    own: dict[str, list[float]] = {statement: [] for statement in over}
    for _ in range(STARTS):
        bare, _ = started("pass")
        for statement, taken in over.items():
            spent, report = started(statement)
            taken.append(spent - bare)
            own[statement].append(sum(map(int, OWN.findall(report))) / 1e3)
    for statement, limits in (("import lucid", (25, 5)), ("import lucid.nn", (None, None))):
        yield Figure(f"{statement}, over bare Python", median(over[statement]), "ms", limits[0])
        yield Figure(f"{statement}, lucid's own code in it", median(own[statement]), "ms", limits[1])


def started(statement: str) -> tuple[float, str]:
    """Run a statement in a Python of its own: its milliseconds, and what it took to import each module."""
    code = f"{statement}\nimport time\nprint(time.process_time())"
    timed = [sys.executable, "-X", "importtime", "-c", code]
    done = subprocess.run(timed, check=True, capture_output=True, text=True)
    return 1e3 * float(done.stdout), done.stderr


def main() -> int:
    """Print the figures; return how many are too large."""
    found = list(imports())
    for name in ("numpy", "torch"):
        if reason := unusable(name):
            print(reason)
        else:
            found += calls(name)
    print(*found, sep="\n")
    return sum(figure.limit is not None and figure.costs > figure.limit for figure in found)


if __name__ == "__main__":
    sys.exit(main())
