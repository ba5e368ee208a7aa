"""Put the stand-in in place, in this process.

CuPy reaches CUDA in three ways:

- libcuda, libnvrtc and libcublas are opened by name: libraries of those names are loaded first, and so the
  loader finds them loaded;
- the CUDA runtime is linked statically into one of CuPy's extension modules: the module's symbol table says
  where its functions are, and in memory each is made to jump to the stand-in of the same name;
- precompiled GPU code lies behind a few C++ functions, which the loader looks up in libcuda first.
"""

import ctypes
import os
import struct
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

from cuda_on_cpu.build import SANITIZED, CannotStandInError, InstalledCupy, built, compiler, kernel_flags
from cuda_on_cpu.elf import Table, functions

NEEDED = {"cudaMalloc", "cudaMemcpyAsync", "cudaGetDeviceCount"}
READ, WRITE, EXECUTE = 1, 2, 4


@cache
def install() -> ctypes.CDLL:
    """Put the stand-in in place, unless it is, and return its libcuda; CuPy must not have been imported."""
    if "cupy" in sys.modules:
        raise CannotStandInError("the stand-in for CUDA comes too late: CuPy has been imported")
    home = built()
    os.environ.update(
        CUDA_ON_CPU_COMPILER=compiler(),
        CUDA_PATH=str(home),  # for the headers
        CUPY_ACCELERATORS="",  # they are precompiled GPU code
        CUPY_CACHE_DIR=str(home / "kernels"),  # never a real GPU's
    )
    device, *_ = [
        ctypes.CDLL(str(home / name), ctypes.RTLD_GLOBAL) for name in InstalledCupy.find().libraries
    ]
    runtime = import_module("cupy_backends.cuda.api.runtime").__file__
    assert runtime is not None
    redirect(Path(runtime).resolve(), device)
    if kernel_flags() == SANITIZED:
        import cupy

        cupy.cuda.set_allocator(None)  # no pool, so that each array is an allocation of its own
    return device


def redirect(module: Path, device: ctypes.CDLL) -> None:
    """Make the CUDA functions of a loaded file jump to those of the same name in `device`."""
    base = address_of(module)
    found = set()
    for name, section, address, size in functions(module, Table.ALL):
        if not (name.startswith("cuda") and name[4:5].isupper() and name.isidentifier() and section):
            continue
        stand_in = getattr(device, name, device.stand_in_unsupported)
        target = ctypes.cast(stand_in, ctypes.c_void_p).value
        jump = b"\x48\xb8" + struct.pack("<Q", target) + b"\xff\xe0"  # mov $target, %rax; jmp *%rax
        if size >= len(jump):
            overwrite(base + address, jump)
            found.add(name)
    if not found >= NEEDED:
        raise CannotStandInError(f"this build of CuPy has no {', '.join(NEEDED - found)} to redirect")


def address_of(file: Path) -> int:
    """Find where a file is loaded."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        addresses, _, offset, _, _, *path = line.split(maxsplit=5)
        if path == [str(file)] and int(offset, 16) == 0:
            return int(addresses.partition("-")[0], 16)
    raise CannotStandInError(f"{file} is not loaded")


def overwrite(address: int, code: bytes) -> None:
    """Write machine code over that of a function."""
    page = os.sysconf("SC_PAGESIZE")
    start = address // page * page
    pages = ctypes.c_void_p(start), ctypes.c_size_t(address + len(code) - start)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(*pages, READ | WRITE):
        raise OSError(ctypes.get_errno(), "mprotect")
    ctypes.memmove(address, code, len(code))
    libc.mprotect(*pages, READ | EXECUTE)
