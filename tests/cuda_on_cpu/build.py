"""Compile the stand-in, once for each version of its sources, the compiler and CuPy, into a cache.

The cache is ``$CUDA_ON_CPU_CACHE``, or lucid-cuda-on-cpu in the user's own; kernels are kept there too.
"""

import platform
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from os import environ
from pathlib import Path

from cuda_on_cpu.elf import Table, functions

HERE = Path(__file__).parent
FLAGS = ["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden"]
SANITIZED = "-O1 -g -fsanitize=address"
EMPTY_HEADERS = (
    "cuda.h",
    "cuda_runtime.h",
    "device_launch_parameters.h",
    "math_constants.h",
    "vector_types.h",
)
"""What CuPy's sources include, and the prelude makes unnecessary."""


class CannotStandInError(RuntimeError):
    """The stand-in can't be built or used here."""


def compiler() -> str:
    """Name the C++ compiler."""
    return environ.get("CUDA_ON_CPU_COMPILER", "g++")


def kernel_flags() -> str:
    """Say how kernels are compiled."""
    return environ.get("CUDA_ON_CPU_FLAGS", "-O1")


def built() -> Path:
    """Return the folder with the libraries and headers, which are compiled if need be."""
    home = cache() / identity()
    if home.exists():
        return home
    home.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="building-") as folder:
        made = Path(folder) / "home"
        made.mkdir()
        compile_into(made)
        try:
            made.rename(home)
        except OSError:
            if not home.exists():  # then no other process was faster
                raise
    return home


def cache() -> Path:
    """Return the folder for all versions."""
    if asked := environ.get("CUDA_ON_CPU_CACHE"):
        return Path(asked).resolve()
    return Path(environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lucid-cuda-on-cpu"


def identity() -> str:
    """Digest all that the libraries and the kernels depend on, or say what is missing."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        raise CannotStandInError(
            f"the stand-in for CUDA runs on Linux on x86-64 only, and this is {platform.system()} on "
            f"{platform.machine()}"
        )
    try:
        cupy = version("cupy-cuda12x")
    except PackageNotFoundError:
        raise CannotStandInError(
            "the stand-in for CUDA is for cupy-cuda12x; python -m pip install cupy-cuda12x"
        ) from None
    if shutil.which(compiler()) is None:
        raise CannotStandInError(
            f"the stand-in for CUDA is compiled by {compiler()}, which is not installed; install it (Debian: "
            f"apt-get install g++), or name another g++ in CUDA_ON_CPU_COMPILER"
        )
    shown = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    digest = sha256("\n".join([shown, cupy, kernel_flags()]).encode())
    for path in [Path(__file__), *sorted(HERE.glob("src/*")), *sorted(HERE.glob("include/*"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def compile_into(folder: Path) -> None:
    """Compile the libraries, all at a time."""
    include = shutil.copytree(HERE / "include", folder / "include")
    for name in EMPTY_HEADERS:
        (include / name).touch()
    write_rest_of_cublas(folder)
    source = HERE / "src"
    device = [source / f"{name}.cpp" for name in ("runtime", "driver", "launch", "precompiled")]
    cublas = [source / "cublas.cpp", folder / "rest_of_cublas.cpp"]
    jobs = [
        command(folder, "libcuda.so.1", *device),
        command(folder, "libnvrtc.so.12", source / "nvrtc.cpp"),
        command(folder, "libcublas.so.12", *cublas, f"-Wl,--version-script={folder / 'cublas.map'}"),
        command(folder, "libcudart.so.12", source / "cudart.cpp"),
        command(folder, "libcublasLt.so.12", "-xc++", "/dev/null"),  # loaded by name only
    ]
    running = [
        subprocess.Popen(job, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for job in jobs
    ]
    told = [job.communicate()[0] for job in running]
    if any(job.returncode for job in running):
        raise CannotStandInError("the stand-in for CUDA does not compile:\n" + "".join(told))


def command(folder: Path, name: str, *sources: Path | str) -> list[str | Path]:
    """Write a compiler's command line."""
    target: list[str | Path] = [f"-Wl,-soname,{name}", "-o", folder / name]
    return [compiler(), *FLAGS, "-I", folder / "include", *target, *sources, "-ldl", "-lpthread"]


def write_rest_of_cublas(folder: Path) -> None:
    """Write the functions that CuPy's module is linked to and cublas.cpp has not: they say so."""
    ours = (HERE / "src" / "cublas.cpp").read_text().replace("cublas##letter##", "cublasS")
    ours += ours.replace("cublasS", "cublasD")
    spec = find_spec("cupy_backends")
    assert spec is not None
    assert spec.origin is not None
    (module,) = Path(spec.origin).parent.glob("cuda/libs/cublas.*.so")
    wanted = [each.name for each in functions(module, Table.DYNAMIC) if each.section == 0]
    lacking = [name for name in wanted if name.startswith("cublas") and f"{name}(" not in ours]
    lines = ['extern "C" int stand_in_cublas_unsupported();']
    lines += [
        f'extern "C" __attribute__((visibility("default"))) int {name}() '
        "{ return stand_in_cublas_unsupported(); }"
        for name in lacking
    ]
    (folder / "rest_of_cublas.cpp").write_text("\n".join(lines) + "\n")
    (folder / "cublas.map").write_text("libcublas.so.12 { global: *; };\n")


def sanitized() -> dict[str, str]:
    """Return the environment in which kernels are checked for accesses out of bounds, as a process starts."""
    libraries = [
        subprocess.run(
            [compiler(), f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so")
    ]
    for library in libraries:
        if not Path(library).is_absolute():
            raise CannotStandInError(f"{compiler()} has no {library}; install it (Debian: libasan8)")
    return {
        "LD_PRELOAD": " ".join(libraries),
        "ASAN_OPTIONS": "detect_leaks=0",  # Python's own are many
        "CUDA_ON_CPU_FLAGS": SANITIZED,
    }
