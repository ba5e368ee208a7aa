"""`lucid check`: the conformance kit on one backend, and what came of it in one line."""

import argparse
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any, Final
from xml.etree import ElementTree

from lucid._commands._text import add_texts
from lucid._registry import registry
from lucid.errors import LucidError

__all__ = ["Outcome", "add", "run"]

HELP: Final = "run the conformance kit on a backend"
DESCRIPTION: Final = """\
Run the conformance kit on a backend: its losses and gradients against mpmath's, its edge cases,
its errors. The kit needs pytest and mpmath: python -m pip install "lucid-bce[testing]"
"""
EPILOG: Final = """\
exit status:
  0 if all cases pass, 1 if some fail or the backend can't run, 2 if the kit can't run

examples:
  lucid check numpy
  lucid check torch --verbose
  lucid check lucid-jax:jax -k "gradient and float32"
"""

SETTINGS: Final = {"LUCID_BACKEND", "PYTEST_ADDOPTS", "PYTEST_PLUGINS"}
ISOLATED: Final = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
REPORT: Final = "report.xml"
RAN_TO_THE_END: Final = {0, 1, 5}  # pytest's exit statuses: all passed, some failed, there was none


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many cases there were, and how many of them went how."""

    cases: int
    failed: int
    xfailed: int
    skipped: int

    @classmethod
    def read(cls, report: Path) -> "Outcome":
        """Count the cases of a report that pytest's ``--junitxml`` wrote."""
        cases = list(ElementTree.parse(report).iter("testcase"))
        skips = [skip.get("type") for case in cases for skip in case.iter("skipped")]
        failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
        xfailed = skips.count("pytest.xfail")
        return cls(len(cases), failed, xfailed, len(skips) - xfailed)

    @property
    def passed(self) -> int:
        """The number of cases that passed."""
        return self.cases - self.failed - self.xfailed - self.skipped

    @property
    def status(self) -> int:
        """The exit status: something passed, and nothing failed."""
        return 0 if self.passed and not self.failed else 1

    def __str__(self) -> str:
        if self.failed:
            headline = f"{self.failed} of {self.cases} cases failed"
        else:
            headline = f"{self.passed} cases passed" if self.passed else "no case ran"
        asides = [f"{self.xfailed} failed as expected"] if self.xfailed else []
        asides += [f"{self.skipped} skipped"] if self.skipped else []
        return ", ".join([headline, *asides])


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("check", help=HELP)
    add_texts(parser, DESCRIPTION, EPILOG)
    parser.add_argument("name", metavar="NAME", help="a backend's name, or distribution:name")
    parser.add_argument("-k", metavar="EXPRESSION", help="only the cases that match, as pytest's -k")
    parser.add_argument("-v", "--verbose", action="store_true", help="show pytest's own output")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the kit, and say what passed; show the failures if there are any."""
    missing = [module for module in ("pytest", "mpmath") if find_spec(module) is None]
    if missing:
        needed = f'needs {" and ".join(missing)}; python -m pip install "lucid-bce[testing]"'
        return complain(f"the conformance kit {needed}", 2)
    try:
        registry.get(options.name)
    except (LucidError, ValueError) as error:
        return complain(str(error), 1)
    with TemporaryDirectory(prefix="lucid-check-") as folder:
        began = perf_counter()
        pytest = run_kit(options.name, options.k, Path(folder), show=options.verbose)
        took = perf_counter() - began
        report = Path(folder, REPORT)
        ended = pytest.returncode in RAN_TO_THE_END and report.exists()
        outcome = Outcome.read(report) if ended else None
    if pytest.returncode and not options.verbose:
        print(pytest.stdout)
    if outcome is None:
        return complain(f"the kit broke off; pytest's exit status is {pytest.returncode}", 2)
    print(f"{options.name}: {outcome} in {took:.0f} s")
    return outcome.status


def run_kit(
    name: str, expression: str | None, folder: Path, *, show: bool
) -> subprocess.CompletedProcess[str]:
    """Run pytest in a process of its own, out of reach of the configuration of any project around."""
    isolated = ["-c", os.devnull, "--rootdir", str(folder), "--noconftest", "-p", "no:cacheprovider"]
    kit = ["-p", "lucid.testing.plugin", "--pyargs", "lucid.testing.conformance"]
    options = ["--backend", name, "--require", name, "-k", expression or "", "-q", "-rN", "--tb=short"]
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", *isolated, *kit, *options, f"--junitxml={folder / REPORT}"],
        env={**{key: value for key, value in os.environ.items() if key not in SETTINGS}, **ISOLATED},
        stdout=None if show else subprocess.PIPE,
        stderr=None if show else subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )


def complain(what: str, status: int) -> int:
    """Say what keeps the kit from running."""
    print(f"lucid: {what}", file=sys.stderr)
    return status
