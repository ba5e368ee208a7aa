"""Children of a process that uses threads, and Ctrl-C in a large call; each in a process of its own."""

import os
import signal
import subprocess
import sys
from importlib.util import find_spec
from multiprocessing import get_all_start_methods
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
NAMES = ["numpy", *(["torch"] if find_spec("torch") else [])]


def run(program, *arguments):
    """Run one of the programs beside this file, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", TESTS / program, *map(str, arguments)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.mark.parametrize("method", sorted({"fork", "spawn"} & {*get_all_start_methods()}))
def test_children_of_a_process_that_uses_threads_have_its_bits(method) -> None:
    assert run("child_processes.py", method, *NAMES) == f"{method}: {', '.join(NAMES)}: as in the parent\n"


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers, which Windows lacks")
@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_call_leaves_nothing_broken(name, request) -> None:
    times = 1000 if request.config.getoption("--long") else 20
    assert run("interrupted.py", name, times).endswith(f"of {times} calls interrupted, nothing broken\n")
