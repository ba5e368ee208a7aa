"""Compile `lucid_host._native` while a wheel is built, where there is a compiler for it.

Without it everything works, with NumPy's arithmetic instead (see `lucid_host.blocks`), so a missing compiler
is no error. ``LUCID_BUILD_NATIVE=0`` leaves it out, ``LUCID_BUILD_NATIVE=1`` insists on it.
"""

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES: Final = Path("backends", "lucid_host", "src")
NAME: Final = "_native.abi3.so"
ABI: Final = "0x030b0000"
"""The oldest Python whose stable interface is used: one file is for all that follow."""

FLAGS: Final = [
    *("-std=c++17", "-O3", "-fPIC", "-fno-exceptions", "-fno-rtti", "-fvisibility=hidden"),
    *("-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math"),
]
"""Nothing may be contracted, or reordered: what a rounding loses is calculated."""

SETS: Final = {
    "x86_64": {
        "lucid_block_avx512": ["-mavx512f", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mf16c"],
        "lucid_block_avx2": ["-mavx2", "-mfma", "-mf16c"],
    },
    "aarch64": {"lucid_block": []},
}
"""For each architecture, a function for each of its instruction sets."""


class NativeHook(BuildHookInterface[Any]):
    """Adds the extension to a wheel, or to the source tree of an editable installation."""

    PLUGIN_NAME = "custom"
    made: str | None = None
    """A folder to be removed when the wheel has been written."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile it, and say in the wheel's name for which platform it is."""
        wanted = os.environ.get("LUCID_BUILD_NATIVE", "").strip()
        if wanted not in {"", "0", "1"}:
            raise ValueError(f"LUCID_BUILD_NATIVE must be 0 or 1, not {wanted!r}")
        if wanted == "0":
            return
        editable = version == "editable"
        if not editable:
            self.made = tempfile.mkdtemp(prefix="lucid-")
        folder = Path(self.made or Path(self.root, SOURCES.parent))
        try:
            compile_to(folder / NAME, Path(self.root, SOURCES))
        except (OSError, RuntimeError) as error:
            if wanted:
                raise
            self.app.display_warning(f"lucid_host._native is left out, NumPy will do its work: {error}")
            return
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{platform_tag()}"
        if not editable:
            build_data["force_include"][str(folder / NAME)] = f"lucid_host/{NAME}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove what has been copied into the wheel."""
        if self.made:
            shutil.rmtree(self.made)


def platform_tag() -> str:
    """Name the platform that is compiled for: of a Python for two architectures, this machine's."""
    name = sysconfig.get_platform().replace("universal2", platform.machine())
    return name.replace("-", "_").replace(".", "_")


def compile_to(target: Path, sources: Path) -> None:
    """Compile and link; raise RuntimeError, or OSError if there is no compiler."""
    architecture = {"AMD64": "x86_64", "arm64": "aarch64"}.get(platform.machine(), platform.machine())
    linker = sysconfig.get_config_var("LDCXXSHARED")
    if sys.implementation.name != "cpython" or sysconfig.get_config_var("Py_GIL_DISABLED") or not linker:
        raise RuntimeError("it is written for CPython with its lock, and for GCC's and Clang's options")
    if architecture not in SETS:
        raise RuntimeError(f"it has not been written for {architecture}")
    compiler = shlex.split(os.environ.get("CXX") or sysconfig.get_config_var("CXX") or "c++")
    link = compiler + shlex.split(linker)[len(shlex.split(sysconfig.get_config_var("CXX") or "c++")) :]
    with tempfile.TemporaryDirectory() as folder:
        include = [f"-I{sysconfig.get_path('include')}", f"-DPy_LIMITED_API={ABI}"]
        jobs = {"module": ("module.cpp", include)}
        for function, flags in SETS[architecture].items():
            jobs[function] = ("block.cpp", [f"-DBLOCK_FUNCTION={function}", *flags])
        objects = [str(Path(folder, f"{name}.o")) for name in jobs]
        for out, (source, flags) in zip(objects, jobs.values(), strict=True):
            call([*compiler, *FLAGS, *flags, "-c", str(sources / source), "-o", out])
        call([*link, *objects, "-o", str(target)])


def call(command: list[str]) -> None:
    """Run a command; raise with what it said if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{shlex.join(command)}\n{done.stderr[-4000:]}")
