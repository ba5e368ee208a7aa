"""`lucid backends`: what is installed, what can run here and why the rest can't, and what is selected."""

import argparse
import json
import os
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, Final

import lucid
from lucid._commands._text import add_texts, one_line, print_table
from lucid._registry import flag
from lucid._selection import BackendEntry, selected
from lucid.errors import LucidError

if TYPE_CHECKING:
    from lucid.protocol import Backend

__all__ = ["add", "run"]

HELP: Final = "list the installed backends: which can run, and which is selected"
DESCRIPTION: Final = """\
List the installed backends. Each is started, to learn whether it can run here.
The one that is marked * is selected: numbers, lists and lucid.tensor() use it.
"""
EPILOG: Final = """\
exit status:
  0 if the selected backend can run, else 1

--json prints this object, which later versions may add to:
  {"selected": {"spec": str, "rule": str, "usable": bool, "reason": str},
   "backends": [{"name": str, "distribution": str, "version": str,
                 "selected": bool, "usable": bool, "state": str, "reason": str,
                 "description": str}, ...]}
  spec         what was asked for, such as "torch" or "cupy,numpy"
  rule         what asked for it: "LUCID_BACKEND" or "default"
  state        "ready", "failed" or "disabled"
  reason       why it is not usable; "" if it is
  description  what it runs on: versions, a device; "" if it doesn't say, or is not usable

examples:
  lucid backends
  LUCID_BACKEND=cupy,numpy lucid backends
  lucid backends --json
"""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("backends", help=HELP)
    add_texts(parser, DESCRIPTION, EPILOG)
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a table")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """List the backends, whatever state they and the environment are in."""
    with redirect_stdout(sys.stderr):  # what a plugin prints is not part of the list
        entries = started()
        backend, reason = chosen()
        descriptions = [described(entry) for entry in entries]
    spec, rule = selected()
    marks = [backend is not None and backend is backend_of(entry) for entry in entries]
    if options.json:
        selection = {"spec": spec, "rule": rule, "usable": backend is not None, "reason": reason}
        listed = [as_json(*each) for each in zip(entries, marks, descriptions, strict=True)]
        print(json.dumps({"selected": selection, "backends": listed}, indent=2))
    else:
        rows = [
            ("*" if mark else "", e.name, f"{e.distribution} {e.version}", usable(e), e.reason or description)
            for e, mark, description in zip(entries, marks, descriptions, strict=True)
        ]
        print_table(("", "backend", "from", "usable", "on what, or why not"), rows)
        print(f"\nselected: {spec} ({rule if rule == 'default' else f'by {rule}'})")
        if backend is None:
            print(f"which can't be used: {one_line(reason)}")
    return 1 if backend is None else 0


def started() -> list[BackendEntry]:
    """Start all backends; leave the plugins out if LUCID_DISABLE_PLUGINS is neither yes nor no."""
    try:
        return lucid.backends(probe=True)
    except ValueError as error:
        unclear = os.environ["LUCID_DISABLE_PLUGINS"]
        os.environ["LUCID_DISABLE_PLUGINS"] = "yes"
        try:
            entries = lucid.backends(probe=True)
        finally:
            os.environ["LUCID_DISABLE_PLUGINS"] = unclear
        return [e._replace(reason=str(error)) if e.state == "disabled" else e for e in entries]


def chosen() -> "tuple[Backend[Any] | None, str]":
    """Return the selected backend, or the reason why there is none."""
    try:
        flag("LUCID_DISABLE_PLUGINS")  # whatever meets an array reads it, so it has to be right
        return lucid.get_backend(), ""
    except (LucidError, ValueError) as error:
        return None, str(error)


def backend_of(entry: BackendEntry) -> "Backend[Any] | None":
    """Return the backend of an entry, if it is started."""
    return lucid.get_backend(f"{entry.distribution}:{entry.name}") if entry.state == "ready" else None


def described(entry: BackendEntry) -> str:
    """Say what a backend runs on, if it is started and says so; one that fails to is still a backend."""
    try:
        return str(getattr(backend_of(entry), "description", ""))
    except Exception as error:  # anything: a plugin's own code, which may ask a device
        return f"which can't be told: {type(error).__name__}: {error}"


def usable(entry: BackendEntry) -> str:
    """Say it in a word."""
    return {"ready": "yes", "disabled": "disabled"}.get(entry.state, "no")


def as_json(entry: BackendEntry, mark: bool, description: str) -> dict[str, str | bool]:
    """Describe a backend as the help promises."""
    more = {"selected": mark, "usable": entry.state == "ready", "description": description}
    return {**entry._asdict(), **more}
