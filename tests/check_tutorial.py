"""Follow the tutorial "Write a backend" to its end: type what it says, and see what it promises.

For an environment that has lucid's wheel, its extra [testing], JAX, pytest-xdist and a network.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent
TUTORIAL = ROOT / "docs" / "write-a-backend.md"
JAX = ROOT / "docs" / "examples" / "lucid-jax"
KIT = ("-p", "lucid.testing.plugin", "--pyargs", "lucid.testing.conformance")
X64 = {"JAX_ENABLE_X64": "1"}


def run(*command: object, fails: bool = False, **environment: str) -> str:
    """Run a command, show what it prints, and stop unless it ends as it should."""
    words = [str(word) for word in command]
    print("$", *(f"{name}={value}" for name, value in environment.items()), *words, flush=True)
    done = subprocess.run(
        words, env={**os.environ, **environment}, text=True, capture_output=True, check=False
    )
    printed = done.stdout + done.stderr
    print(*printed.splitlines()[-3:], sep="\n", flush=True)
    if bool(done.returncode) != fails:
        sys.exit(printed)
    return printed


def pip(*arguments: object) -> None:
    """Install something beside what is there, or take it away."""
    run(sys.executable, "-m", "pip", "-q", *arguments)


def skeleton() -> None:
    """Write a backend, install it, and put it through the kit."""
    with TemporaryDirectory() as folder:
        run("lucid", "new-backend", "jax", "--into", folder)
        pip("install", "--no-deps", "-e", Path(folder, "lucid-jax"))
        run("lucid", "check", "jax")
        pip("uninstall", "-y", "lucid-jax")


def first_step() -> None:
    """See what the forty lines can and can't do."""
    lines = (JAX / "first_step" / "lucid_jax_first_step" / "backend.py").read_text().splitlines()
    assert len(lines) <= 40
    run("lucid", "check", "jax-first-step", "-k", "float16 and not bfloat16 and edges and none", **X64)
    printed = run("lucid", "check", "jax-first-step", "-k", "float32 and edges and none", fails=True, **X64)
    assert "4194304.00 ULP in element 3: np.float64(0.0), should be 5.87747175411144e-39" in printed


def own_kernels() -> None:
    """Put the kernels through JAX's transformations, and through that part of the kit that is hardest."""
    pytest = (sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "-c", os.devnull)
    run(*pytest, "-W", "error", "--rootdir", JAX, "--import-mode=importlib", JAX / "tests")
    run(*pytest, *KIT, "--require", "jax", "-k", "edges and mean or not (test_loss or test_gradients)", **X64)


def programs() -> None:
    """Run the programs that the tutorial shows."""
    for program in re.findall(r"^```python\n(.*?)^```", TUTORIAL.read_text(), re.MULTILINE | re.DOTALL):
        printed = run(sys.executable, "-c", program)
        for promise in re.findall(r"^print\(.*\)  # (.*)$", program, re.MULTILINE):
            assert promise in printed


def main() -> None:
    """Do it all, in order."""
    skeleton()
    pip("install", "--no-deps", JAX / "first_step", JAX)
    first_step()
    own_kernels()
    programs()


if __name__ == "__main__":
    main()
