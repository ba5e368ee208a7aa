"""`lucid backends`: what is installed, what can run here and why the rest can't, and what is selected."""

import argparse
import json
import sys
from contextlib import redirect_stdout
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, Final

import lucid
from lucid._admission import ALLOW, BLOCK, OURS, Admission
from lucid._commands._text import add_texts, one_line, print_table
from lucid._introspection import explain_class
from lucid._plugin import first_line
from lucid._registry import RESERVED
from lucid._selection import selected
from lucid.errors import LucidError

if TYPE_CHECKING:
    from lucid.protocol import Backend

__all__ = ["add", "run"]

HELP: Final = "list the installed backends: which can run, and which is selected"
DESCRIPTION: Final = """\
List the installed backends. Each is started, to learn whether it can run here.
The one that is marked * is selected: numbers, lists and lucid.tensor() use it.
--why says which backend takes the arrays of a class, without starting any.
"""
EPILOG: Final = """\
exit status:
  0 if the selected backend can run, else 1; for --why, 0 if a backend takes such arrays, else 1

--json prints this object, which later versions may add to:
  {"selected": {"spec": str, "rule": str, "usable": bool, "reason": str},
   "backends": [{"name": str, "distribution": str, "version": str,
                 "selected": bool, "usable": bool, "state": str, "reason": str,
                 "description": str}, ...],
   "notes": [str, ...]}
  spec         what was asked for, such as "torch" or "cupy,numpy"
  rule         what asked for it: "LUCID_BACKEND" or "default"
  state        "ready", "failed" or "disabled"
  reason       why it is not usable; "" if it is
  description  what it runs on: versions, a device; "" if it doesn't say, or is not usable
  notes        what can't have been meant in the settings, and which names won't do alone
and for --why: {"backend": str or null, "rule": str}

examples:
  lucid backends
  LUCID_BACKEND=cupy,numpy lucid backends
  lucid backends --json
  lucid backends --why torch:Tensor
"""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("backends", help=HELP)
    add_texts(parser, DESCRIPTION, EPILOG)
    parser.add_argument("--json", action="store_true", help="print a JSON object instead of a table")
    parser.add_argument(
        "--why",
        metavar="ARRAY_TYPE",
        type=class_name,
        help="a class, as module:qualname: who takes its arrays?",
    )
    parser.set_defaults(run=run)


def class_name(text: str) -> str:
    """Accept what `BackendInfo.array_types` holds."""
    if text.count(":") != 1 or not all(text.split(":")):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not module:qualname; for an array x it is "
            "f'{type(x).__module__}:{type(x).__qualname__}'"
        )
    return text


def run(options: argparse.Namespace) -> int:
    """List the backends, whatever state they and the environment are in."""
    if options.why:
        return why(options.why, in_json=options.json)
    with redirect_stdout(sys.stderr):  # what a plugin prints is not part of the list
        entries = lucid.backends(probe=True)
        backend, reason = chosen()
        descriptions = [described(entry) for entry in entries]
    spec, rule = selected()[:2]
    marks = [backend is not None and backend is backend_of(entry) for entry in entries]
    notes = shared(entries) + unheeded(entries)
    if options.json:
        selection = {"spec": spec, "rule": rule, "usable": backend is not None, "reason": reason}
        listed = [as_json(*each) for each in zip(entries, marks, descriptions, strict=True)]
        print(json.dumps({"selected": selection, "backends": listed, "notes": notes}, indent=2))
    else:
        rows = [
            ("*" if mark else "", e.name, f"{e.distribution} {e.version}", usable(e), e.reason or description)
            for e, mark, description in zip(entries, marks, descriptions, strict=True)
        ]
        print_table(("", "backend", "from", "usable", "on what, or why not"), rows)
        print(f"\nselected: {spec} ({rule if rule == 'default' else f'by {rule}'})")
        if backend is None:
            print(f"which can't be used: {one_line(reason)}")
        print(*(f"note: {note}" for note in notes), sep="\n", end="\n" if notes else "")
    return 1 if backend is None else 0


def why(name: str, *, in_json: bool) -> int:
    """Say who takes the arrays of a class."""
    with redirect_stdout(sys.stderr):
        try:
            found = explain_class((name,))
        except (LucidError, ValueError) as error:
            found = lucid.Explanation(None, one_line(str(error)))
    print(json.dumps(found._asdict(), indent=2) if in_json else found)
    return 1 if found.backend is None else 0


def chosen() -> "tuple[Backend[Any] | None, str]":
    """Return the selected backend, or the reason why there is none."""
    try:
        Admission.read()  # whatever meets an unknown array reads it, so it has to be right
        return lucid.get_backend(), ""
    except (LucidError, ValueError) as error:
        return None, str(error)


def shared(entries: "list[lucid.BackendEntry]") -> list[str]:
    """Say what to ask for, where a name alone won't do: because it is reserved, or because two offer it."""
    offered: dict[str, list[str]] = {}
    for entry in entries:
        if ":" in entry.name:
            offered.setdefault(entry.name.rpartition(":")[2], []).append(entry.name)
    return [
        f"{name} alone {'is reserved for ' + OURS if name in RESERVED else 'could be either'}; "
        f"ask for {' or '.join(specs)}"
        for name, specs in offered.items()
    ]


def unheeded(entries: "list[lucid.BackendEntry]") -> list[str]:
    """Find the names in LUCID_ALLOW_PLUGINS and LUCID_BLOCK_PLUGINS that no installed distribution has."""
    installed = {entry.distribution for entry in entries}
    try:
        admission = Admission.read()
    except ValueError:
        return []  # which `chosen` says
    notes = []
    for variable, names in ((ALLOW, admission.allowed or ()), (BLOCK, admission.blocked)):
        for name in sorted(set(names) - installed):
            near = get_close_matches(name, installed, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            notes.append(f"{variable} names {name}, which offers no backend here{hint}")
    return notes


def backend_of(entry: lucid.BackendEntry) -> "Backend[Any] | None":
    """Return the backend of an entry, if it is started."""
    return lucid.get_backend(entry.name) if entry.state == "ready" else None


def described(entry: lucid.BackendEntry) -> str:
    """Say what a backend runs on, if it is started and says so; one that fails to is still a backend."""
    try:
        return str(getattr(backend_of(entry), "description", ""))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin's own code, which may ask a device, or call sys.exit()
        return f"which can't be told: {first_line(error)}"


def usable(entry: lucid.BackendEntry) -> str:
    """Say it in a word."""
    return {"ready": "yes", "disabled": "disabled"}.get(entry.state, "no")


def as_json(entry: lucid.BackendEntry, mark: bool, description: str) -> dict[str, str | bool]:
    """Describe a backend as the help promises."""
    more = {"selected": mark, "usable": entry.state == "ready", "description": description}
    return {**entry._asdict(), **more}
