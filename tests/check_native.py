"""Compile the host kernels for other instruction sets, and see that all of them give the same bits."""

import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).parent.parent
FLAGS = {"what it is compiled for in a wheel": None}
if platform.machine() in {"x86_64", "AMD64"}:
    FLAGS |= {"AVX2": ["-mavx2", "-mfma", "-mf16c"], "two doubles at a time, as on ARM": ["-mfma"]}


def digest() -> str:
    """Compute losses and gradients of all kinds, and condense their bits."""
    import hashlib

    import numpy as np

    import lucid_host
    from lucid.protocol import LossSpec

    specs = [LossSpec("mean"), LossSpec("weighted_mean"), LossSpec("sum", label_smoothing=0.1)]
    specs += [LossSpec("sum", eps=1e-3), LossSpec("mean", ignore_index=1)]
    found, random, size = hashlib.sha256(), np.random.default_rng(0), 70001
    for dtype in "efd":
        p, z = random.random(size).astype(dtype), (20 * random.standard_normal(size)).astype(dtype)
        p[::97], p[5::101], z[::89] = 0, 1, 800
        targets = [p > 0.4, random.random(size).astype(dtype), random.integers(0, 2, size)]
        for y in targets:
            for w, v in [(None, None), (z**2, None), (None, z**2), (z**2, p)]:
                for kernel, x in [(lucid_host.BCE, p), (lucid_host.BCE_WITH_LOGITS, z)]:
                    found.update(kernel.forward(LossSpec("none"), x, y, w, v, needs_grad=False)[0].tobytes())
                    for spec in specs:
                        for result in kernel.value_and_grad(spec, x, y, w, v):
                            found.update(result.tobytes())
    return f"{found.hexdigest()} {lucid_host.INSTRUCTIONS}"


def builds() -> Iterator[tuple[str, Path]]:
    """Build the package with each set of flags, in folders for a Python path."""
    sys.path.insert(0, str(ROOT))
    import hatch_build

    import lucid_host

    for name, flags in FLAGS.items():
        with tempfile.TemporaryDirectory() as folder:
            package = Path(folder, "lucid_host")
            shutil.copytree(Path(lucid_host.__file__).parent, package)
            sets = {
                machine: {
                    function: given if flags is None else flags for function, given in functions.items()
                }
                for machine, functions in hatch_build.SETS.items()
            }
            with mock.patch.object(hatch_build, "SETS", sets):
                hatch_build.compile_to(package / hatch_build.NAME, ROOT / hatch_build.SOURCES)
            yield name, Path(folder)


def main() -> int:
    """Print the bits of each build, condensed; return 1 if they differ."""
    import lucid_host

    if lucid_host.INSTRUCTIONS is None:
        print("this wheel has no extension")
        return 0
    seen = set()
    for name, folder in builds():
        here = [sys.executable, __file__, "--digest"]
        done = subprocess.run(
            here, env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True, check=True
        )
        bits, instructions = done.stdout.split(maxsplit=1)
        assert instructions.strip() != "None", "the extension was not loaded"
        print(f"{bits[:16]}  compiled by {sysconfig.get_config_var('CXX')} for {name}")
        seen.add(bits)
    print("the same bits" if len(seen) == 1 else "DIFFERENT BITS")
    return len(seen) != 1


if __name__ == "__main__":
    if sys.argv[1:] == ["--digest"]:
        print(digest())
    else:
        sys.exit(main())
