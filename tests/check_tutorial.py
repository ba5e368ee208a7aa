"""Follow the tutorial "Write a backend" to its end: type what it says, and see what it promises.

For an environment that has lucid's wheel, its extra [testing], JAX, pytest-xdist and a network.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
TUTORIAL = ROOT / "docs" / "write-a-backend.md"
JAX = ROOT / "docs" / "examples" / "lucid-jax"
KIT = ("-p", "lucid.testing.plugin", "--pyargs", "lucid.testing.conformance")
PYTEST = (sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "-c", os.devnull)
X64 = {"JAX_ENABLE_X64": "1"}


def run(*command: object, fails: bool = False, **environment: str) -> str:
    """Run a command, show what it prints, and stop unless it ends as it should."""
    words = [str(word) for word in command]
    print("$", *(f"{name}={value}" for name, value in environment.items()), *words, flush=True)
    done = subprocess.run(
        words, env={**os.environ, **environment}, text=True, capture_output=True, check=False
    )
    printed = done.stdout + done.stderr
    print(*done.stdout.splitlines()[-3:], sep="\n", flush=True)
    if bool(done.returncode) != fails:
        sys.exit(printed)
    return printed


def pip(*arguments: object) -> None:
    """Install something beside what is there, or take it away."""
    run(sys.executable, "-m", "pip", "-q", *arguments)


def own_tests(*only: str) -> None:
    """Run the example's own tests."""
    run(*PYTEST, "-W", "error", "--rootdir", JAX, "--import-mode=importlib", JAX / "tests", *only)


def skeleton(folder: Path) -> None:
    """Write a backend, install it, and put it through the kit."""
    run("lucid", "new-backend", "jax", "--into", folder)
    pip("install", "--no-deps", "-e", folder / "lucid-jax")
    run("lucid", "check", "jax")


def first_step(folder: Path) -> None:
    """Put the forty lines into the skeleton, and see what they can and can't do."""
    sources = JAX / "first_step" / "lucid_jax"
    assert len((sources / "backend.py").read_text().splitlines()) <= 40
    copytree(sources, folder / "lucid-jax" / "lucid_jax", dirs_exist_ok=True)
    programs()
    run("lucid", "check", "jax", "-k", "float16 and not bfloat16 and edges and none", **X64)
    printed = run("lucid", "check", "jax", "-k", "float32 and edges and none", fails=True, **X64)
    (promised,) = re.findall(r"`(\S+ ULP in .*)`", TUTORIAL.read_text())
    assert promised in printed
    own_tests("-k", "not edges")


def own_kernels() -> None:
    """Put the kernels through JAX's transformations, and through that part of the kit that is hardest."""
    programs()
    own_tests()
    run(*PYTEST, *KIT, "--require", "jax", "-k", "edges and mean or not (test_loss or test_gradients)", **X64)


def programs() -> None:
    """Run the programs that the tutorial shows."""
    for program in re.findall(r"^```python\n(.*?)^```", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL):
        printed = run(sys.executable, "-c", program)
        for promise in re.findall(r"^print\(.*\)  # (.*)$", program, re.MULTILINE):
            assert promise in printed


def main() -> None:
    """Do it all, in order."""
    with TemporaryDirectory() as folder:
        skeleton(Path(folder))
        first_step(Path(folder))
        pip("uninstall", "-y", "lucid-jax")
    pip("install", "--no-deps", JAX)
    own_kernels()


if __name__ == "__main__":
    main()
