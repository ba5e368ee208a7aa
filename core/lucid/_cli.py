"""The command `lucid`, also `python -m lucid`: what is installed, what can run, and whether it is right.

A command is a module in `lucid._commands` with two functions: `add` describes its arguments and sets `run`,
which does the work and returns the exit status. To add one, write the module and name it in `COMMANDS`.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from io import TextIOWrapper
from typing import Final, TypeAlias

import lucid
from lucid._commands import backends, bench, check, info, new_backend
from lucid._commands._text import add_texts

__all__ = ["main"]

Run: TypeAlias = Callable[[argparse.Namespace], int]

COMMANDS: Final = (backends, info, check, bench, new_backend)
EXAMPLES: Final = """\
examples:
  lucid backends                        what is installed, and can it run here?
  LUCID_BACKEND=torch lucid backends    would this setting work?
  lucid check numpy                     are its losses and gradients right?
  lucid bench --quick                   how fast are they, beside other libraries?
  lucid info                            what a bug report needs
  lucid new-backend jax                 a backend of your own to start from
  lucid COMMAND --help                  more about a command
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the command line, unless given.

    Returns
    -------
    int
        The exit status.
    """
    parser = argparse.ArgumentParser("lucid")
    add_texts(parser, "Look after lucid's backends: the array libraries that its losses run on.", EXAMPLES)
    parser.add_argument("--version", action="version", version=f"lucid {lucid.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    options = parser.parse_args(arguments)
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a reason may hold what the terminal can't show
    run: Run = options.run
    try:
        status = run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # so that Python's own flush is silent
        return 1
    return status
