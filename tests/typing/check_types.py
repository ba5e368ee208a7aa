"""Hold what mypy --strict and pyright say of plugins against what they should say.

Nothing of accepted.py and of what `lucid new-backend` writes; of rejected.py what its comments expect.
"""

import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from shutil import copy, copytree
from subprocess import DEVNULL
from tempfile import TemporaryDirectory
from typing import TypeAlias

FILES = [Path(__file__).with_name(name) for name in ("accepted.py", "rejected.py")]
SKELETON = "lucid_typed"
Found: TypeAlias = tuple[str, int, str]  # a file, a line, a rule


def expected(tool: str) -> Iterator[Found]:
    """Read the comments."""
    for file in FILES:
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            if match := re.search(rf"# .*\b{tool}: ([\w-]+)", line):
                yield file.name, number, match[1]


def said(folder: Path, *command: str) -> str:
    """Run a type checker over everything."""
    done = subprocess.run(
        [*command, *(file.name for file in FILES), SKELETON],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def mypy(folder: Path) -> Iterator[Found]:
    """Ask mypy."""
    for line in said(folder, "mypy", "--strict", "--config-file=", "--no-error-summary").splitlines():
        if match := re.fullmatch(r"([\w/]+\.py):(\d+): error: .*\[([\w-]+)\]", line):
            yield match[1], int(match[2]), match[3]
        elif ": note: " not in line:
            raise SystemExit(f"mypy says: {line}")


def pyright(folder: Path) -> Iterator[Found]:
    """Ask pyright."""
    for each in json.loads(said(folder, "pyright", "--outputjson"))["generalDiagnostics"]:
        rule = each.get("rule", each["message"])
        yield Path(each["file"]).name, each["range"]["start"]["line"] + 1, rule


def main() -> int:
    """Print the differences; return how many there are."""
    differences = []
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for file in FILES:
            copy(file, folder)
        subprocess.run(["lucid", "new-backend", "typed", "--into", folder], stdout=DEVNULL, check=True)
        copytree(folder / "lucid-typed" / SKELETON, folder / SKELETON)
        for tool in (mypy, pyright):
            should, does = Counter(expected(tool.__name__)), Counter(tool(folder))
            differences += [f"{tool.__name__} should say, and does not: {each}" for each in should - does]
            differences += [f"{tool.__name__} should not say: {each}" for each in does - should]
            print(f"{tool.__name__}: {sum((should & does).values())} mistakes found")
    print(*differences, sep="\n", end="\n" if differences else "")
    return len(differences)


if __name__ == "__main__":
    sys.exit(main())
