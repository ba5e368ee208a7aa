"""`lucid new-backend`: a distribution with a backend that works, for its author to change."""

import argparse
import re
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from lucid._admission import OURS
from lucid._commands._text import add_texts
from lucid._registry import RESERVED, registry

__all__ = ["add", "run"]

HELP: Final = "write the skeleton of a backend of your own"
DESCRIPTION: Final = """\
Write a distribution, lucid-NAME, whose backend NAME works at once, on NumPy's arrays and
lucid's own definition of the losses. The places where your array library goes in are marked HERE.
"""
EPILOG: Final = """\
exit status:
  0 if it was written, 2 if not: the name won't do, or there is such a folder already

examples:
  lucid new-backend jax
  lucid new-backend my-lib --into ~/src
"""

SKELETON: Final = Path(__file__).with_name("skeleton")
"""The distribution itself. Its name is skeleton, which is replaced."""


def add(commands: Any) -> None:
    """Describe the command."""
    parser = commands.add_parser("new-backend", help=HELP)
    add_texts(parser, DESCRIPTION, EPILOG)
    parser.add_argument("name", metavar="NAME", help="the backend's name, such as jax or my-lib")
    parser.add_argument("--into", metavar="FOLDER", type=Path, default=Path(), help="where to write; here")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write it, and say how to go on."""
    folder = options.into.expanduser() / f"lucid-{options.name}"
    try:
        if reason := unfit(options.name):
            raise ValueError(reason)
        written = write(options.name, folder)
    except FileExistsError:
        print(f"lucid: {folder} exists already; nothing was written", file=sys.stderr)
        return 2
    except (OSError, ValueError) as error:
        print(f"lucid: {error}", file=sys.stderr)
        return 2
    print(*(f"wrote {path}" for path in written), sep="\n")
    print(f'\nnext:\n  python -m pip install -e "{folder}[test]"\n  lucid check {options.name}')
    return 0


def unfit(name: str) -> str:
    """Say why a backend can't have a name; "" if it can."""
    if not re.fullmatch(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*", name):
        return f"{name!r} won't do as a name: lower-case letters and digits, with single - or _ between them"
    if name in RESERVED or f"lucid-{name}" == OURS:
        return f"the name {name!r} is reserved for {OURS}"
    taken = [str(offer) for offer in registry.offers() if offer.name == name]
    package = words(name)["lucid_skeleton"]
    if taken or find_spec(package) is not None:
        return f"the name is taken: {taken[0] if taken else f'a package {package}'} is installed"
    return ""


def words(name: str) -> dict[str, str]:
    """List what stands for the name in the skeleton; none but the first has another one in it."""
    parts = re.split("[-_]", name)
    return {
        "lucid_skeleton": "_".join(["lucid", *parts]),
        "Skeleton": "".join(map(str.capitalize, parts)),
        "skeleton": name,
    }


def write(name: str, folder: Path) -> list[Path]:
    """Copy the skeleton under another name into a new folder."""
    meant = words(name)

    def renamed(text: str) -> str:
        return re.sub("|".join(meant), lambda match: meant[match.group()], text)

    folder.mkdir()
    written = []
    for source in sorted(path for path in SKELETON.rglob("*") if path.is_file() and path.suffix != ".pyc"):
        target = folder / renamed(str(source.relative_to(SKELETON)))
        target.parent.mkdir(exist_ok=True)
        target.write_text(renamed(source.read_text(encoding="utf-8")), encoding="utf-8")
        written.append(target)
    return written
