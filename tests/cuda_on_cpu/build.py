"""Compile the stand-in, once for each version of its sources, the compiler and CuPy, into a cache.

The cache is ``$CUDA_ON_CPU_CACHE``, or lucid-cuda-on-cpu in the user's own; kernels are kept there too.
"""

import platform
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from os import environ
from pathlib import Path
from typing import NamedTuple

from cuda_on_cpu.elf import Table, functions

HERE = Path(__file__).parent
CUDA_VERSIONS = {"cupy-cuda12x": 12090, "cupy-cuda13x": 13000}
FLAGS = ["-std=c++17", "-O1", "-g", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden"]
KERNEL_FLAGS = (  # GPU-like: no contraction, wrapping integers
    "-std=c++17 -fPIC -w -fpermissive -fno-strict-aliasing -fwrapv -ffp-contract=off -fno-gnu-unique "
    "-fno-threadsafe-statics -fno-math-errno -pipe"
)
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


class InstalledCupy(NamedTuple):
    """The CuPy that is installed here, and the CUDA that it is for."""

    version: str
    cuda: int

    @property
    def libraries(self) -> tuple[str, ...]:
        """The files that it opens, in an order in which they can be loaded."""
        major = self.cuda // 1000
        return (
            "libcuda.so.1",
            *(f"lib{name}.so.{major}" for name in ("nvrtc", "cudart", "cublasLt", "cublas")),
        )

    @classmethod
    def find(cls) -> "InstalledCupy":
        """Look it up, without importing it."""
        for package, cuda in CUDA_VERSIONS.items():
            with suppress(PackageNotFoundError):
                return cls(version(package), cuda)
        names = " or ".join(CUDA_VERSIONS)
        raise CannotStandInError(f"the stand-in for CUDA is for {names}; python -m pip install cupy-cuda12x")


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
    cupy = InstalledCupy.find()
    if shutil.which(compiler()) is None:
        raise CannotStandInError(
            f"the stand-in for CUDA is compiled by {compiler()}, which is not installed; install it (Debian: "
            f"apt-get install g++), or name another g++ in CUDA_ON_CPU_COMPILER"
        )
    shown = subprocess.run([compiler(), "--version"], capture_output=True, text=True, check=True).stdout
    digest = sha256("\n".join([shown, *map(str, cupy), kernel_flags()]).encode())
    for path in [Path(__file__), *sorted(HERE.glob("src/*")), *sorted(HERE.glob("include/*"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def compile_into(folder: Path) -> None:
    """Compile the libraries, all at a time."""
    include = shutil.copytree(HERE / "include", folder / "include")
    for name in EMPTY_HEADERS:
        (include / name).touch()
    driver, nvrtc, cudart, cublas_lt, cublas = InstalledCupy.find().libraries
    write_rest_of_cublas(folder, cublas)
    source = HERE / "src"
    device = [source / f"{name}.cpp" for name in ("runtime", "driver", "launch", "precompiled")]
    products = [source / "cublas.cpp", folder / "rest_of_cublas.cpp"]
    jobs = [
        command(folder, driver, *device),
        command(folder, nvrtc, source / "nvrtc.cpp"),
        command(folder, cublas, *products, f"-Wl,--version-script={folder / 'cublas.map'}"),
        command(folder, cudart, source / "cudart.cpp"),
        command(folder, cublas_lt, "-xc++", "/dev/null"),  # loaded by name only
        precompiled_prelude(folder),
    ]
    running = [
        subprocess.Popen(job, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) for job in jobs
    ]
    told = [job.communicate()[0] for job in running]
    if any(job.returncode for job in running):
        raise CannotStandInError("the stand-in for CUDA does not compile:\n" + "".join(told))


def command(folder: Path, name: str, *sources: Path | str) -> list[str | Path]:
    """Write a compiler's command line."""
    cuda = f"-DCUDA_VERSION={InstalledCupy.find().cuda}"
    target: list[str | Path] = [cuda, f"-Wl,-soname,{name}", "-o", folder / name]
    return [compiler(), *FLAGS, "-I", folder / "include", *target, *sources, "-ldl", "-lpthread"]


def precompiled_prelude(folder: Path) -> list[str | Path]:
    """Write the command that precompiles what is put before every kernel: half of a kernel's time."""
    (folder / "kernel_flags").write_text(f"{KERNEL_FLAGS} {kernel_flags()}\n")
    headers = folder_of("cupy") / "_core" / "include"  # CuPy gives these folders for its own headers
    includes = [f"-I{each}" for each in (headers, *headers.glob("cupy/_cccl/*"), folder / "include")]
    prelude = folder / "include" / "prelude.h"
    flags = [f"@{folder / 'kernel_flags'}", *includes]
    return [compiler(), *flags, "-xc++-header", prelude, "-o", f"{prelude}.gch"]


def folder_of(package: str) -> Path:
    """Find a package without importing it."""
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


def write_rest_of_cublas(folder: Path, library: str) -> None:
    """Write the functions that CuPy's module is linked to and cublas.cpp has not: they say so."""
    ours = (HERE / "src" / "cublas.cpp").read_text().replace("cublas##letter##", "cublasS")
    ours += ours.replace("cublasS", "cublasD")
    (module,) = folder_of("cupy_backends").glob("cuda/libs/cublas.*.so")
    wanted = [each.name for each in functions(module, Table.DYNAMIC) if each.section == 0]
    lacking = [name for name in wanted if name.startswith("cublas") and f"{name}(" not in ours]
    lines = ['extern "C" int stand_in_cublas_unsupported();']
    lines += [
        f'extern "C" __attribute__((visibility("default"))) int {name}() '
        "{ return stand_in_cublas_unsupported(); }"
        for name in lacking
    ]
    (folder / "rest_of_cublas.cpp").write_text("\n".join(lines) + "\n")
    (folder / "cublas.map").write_text(f"{library} {{ global: *; }};\n")


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
