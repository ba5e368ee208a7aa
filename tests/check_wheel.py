"""Look into a built wheel: everything that a user needs is there, and nothing else."""

import os
import sys
import zipfile
from pathlib import Path

NEEDED = [
    "lucid/py.typed",
    "lucid/testing/conformance.py",
    "lucid/testing/data/bce.csv",
    "lucid/testing/data/bce_with_logits.csv",
    "lucid/testing/plugin.py",
    "lucid/testing/reference.py",
    "lucid/_commands/skeleton/pyproject.toml",
    "lucid/_commands/skeleton/lucid_skeleton/backend.py",
    "lucid/_pyinstaller/hooks/hook-lucid.py",
    "lucid_host/kernels.py",
    "lucid_numpy/kernels.py",
    "lucid_torch/kernels.py",
    "lucid_cupy/kernels.py",
    "lucid_cupy/arrays.cuh",
    "lucid_cupy/bce.cuh",
]
ROOTS = {"lucid", "lucid_host", "lucid_numpy", "lucid_torch", "lucid_cupy"}


def main(path: str) -> int:
    """Print what is wrong with a wheel; return the number of faults."""
    names = zipfile.ZipFile(path).namelist()
    needed = [*NEEDED, *(["lucid_host/_native.abi3.so"] if "abi3" in Path(path).name else [])]
    faults = [f"missing: {name}" for name in needed if name not in names]
    faults += [
        f"does not belong: {name}"
        for name in names
        if name.split("/")[0] not in ROOTS and ".dist-info/" not in name
    ]
    entry_points = next(name for name in names if name.endswith("entry_points.txt"))
    text = zipfile.ZipFile(path).read(entry_points).decode()
    faults += [
        f"no entry point: {line}" for line in ("numpy = lucid_numpy", "cupy = lucid_cupy") if line not in text
    ]
    print(
        *faults or [f"{Path(path).name}: {len(names)} files, {Path(path).stat().st_size / 1024:.0f} KiB"],
        sep="\n",
    )
    return len(faults)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or [os.environ["TOX_PACKAGE"]]))
