"""Run a script or a module with CuPy on the CPU; with --sanitize, catch accesses out of bounds.

python -m cuda_on_cpu [--sanitize] SCRIPT [ARGUMENT ...]
python -m cuda_on_cpu [--sanitize] -m MODULE [ARGUMENT ...]
"""

import os
import runpy
import sys
from pathlib import Path

from cuda_on_cpu.build import CannotStandInError, sanitized
from cuda_on_cpu.install import install


def main(arguments: list[str]) -> None:
    """Do what the command line says."""
    if arguments[:1] == ["--sanitize"]:  # AddressSanitizer has to be there when a process starts
        command = [sys.executable, "-m", "cuda_on_cpu", *arguments[1:]]
        os.execve(sys.executable, command, os.environ | sanitized())
    is_module = arguments[:1] == ["-m"]
    sys.argv = arguments[is_module:]
    if not sys.argv:
        sys.exit(__doc__)
    install()
    if is_module:
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
    else:
        sys.path[0] = str(Path(sys.argv[0]).resolve().parent)
        runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except CannotStandInError as error:
        sys.exit(str(error))
