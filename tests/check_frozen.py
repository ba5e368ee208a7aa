"""Freeze a program with PyInstaller, as the tutorial says, and see that it finds lucid and a plugin.

For an environment that has lucid's wheel, PyInstaller and a network.
"""

import re
import subprocess
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory

PIP = (sys.executable, "-m", "pip", "-q")
TUTORIAL = Path(__file__).parent.parent / "docs" / "write-a-backend.md"
PROGRAM = """\
import numpy as np
import lucid, lucid.nn as nn

print(*(entry.name for entry in lucid.backends()))
print(nn.BCELoss(reduction="sum")(np.array([0.5, 0.5]), np.array([1, 0])).round(6))
with lucid.use_backend("acme"):
    print(lucid.explain(np.ones(1)))
    print(lucid.tensor([0.5]).sigmoid())
"""
PRINTED = """\
cupy numpy torch acme
1.386294
acme: lucid.use_backend selects it, and it lists numpy:ndarray
Tensor([0.62245935], dtype=float32, backend=acme)
"""


def run(folder: Path, *command: object) -> str:
    """Run a command, and stop unless it ends well."""
    print("$", *command, flush=True)
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, text=True, capture_output=True, check=False
    )
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    return done.stdout


def main() -> None:
    """Do it."""
    if sys.platform != "win32" and not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        print("nothing was frozen: PyInstaller needs a Python that was built as a shared library")
        return
    (command,) = re.findall(r"^pyinstaller (.*)$", TUTORIAL.read_text(encoding="utf-8"), re.MULTILINE)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "program.py").write_text(PROGRAM, encoding="utf-8")
        run(folder, "lucid", "new-backend", "acme")
        run(folder, *PIP, "install", "--no-deps", "./lucid-acme")
        run(folder, "pyinstaller", "--noconfirm", *command.replace("jax", "acme").split())
        printed = run(folder, folder / "dist" / "program" / "program")
        run(folder, *PIP, "uninstall", "-y", "lucid-acme")
    if printed != PRINTED:
        sys.exit(f"the frozen program printed\n{printed}")


if __name__ == "__main__":
    main()
