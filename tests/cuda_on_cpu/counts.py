"""What CUDA was asked for, and what it is to refuse."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, astuple, dataclass

from cuda_on_cpu.install import install


@dataclass
class Counts:
    """How often CUDA was asked for what.

    `launches` are kernels, of CuPy's own too; `allocations` are of memory on the device; `to_host` are copies
    from there; `synchronisations` are waits for the device, a stream or an event.
    """

    launches: int = 0
    allocations: int = 0
    to_host: int = 0
    synchronisations: int = 0


@contextmanager
def counting() -> Iterator[Counts]:
    """Count while the block runs; CuPy's pool is left out, so that each array is an allocation."""
    import cupy

    counts, before = Counts(), so_far()
    with cupy.cuda.using_allocator(None):
        yield counts
    differences = (after - start for start, after in zip(before, so_far(), strict=True))
    for field, difference in zip(asdict(counts), differences, strict=True):
        setattr(counts, field, difference)


def so_far() -> tuple[int, ...]:
    """Read the counters of libcuda."""
    return tuple(requests("stand_in_counts"))


def requests(variable: str) -> "ctypes.Array[ctypes.c_long]":
    """Give a variable of libcuda that has a number for each field of `Counts`."""
    return (ctypes.c_long * len(astuple(Counts()))).in_dll(install(), variable)


@contextmanager
def failing(**statuses: int) -> Iterator[None]:
    """Answer requests by CUDA's errors while the block runs: ``launches=719``, by a field of `Counts`.

    Such a request is not carried out. CuPy's pool is left out, so that each array is an allocation.
    """
    import cupy

    failures = requests("stand_in_failures")
    try:
        with cupy.cuda.using_allocator(None):
            failures[:] = astuple(Counts(**statuses))
            yield
    finally:
        failures[:] = astuple(Counts())


def launches_on(stream: int) -> int:
    """Return how many kernels were launched on a stream, given by its handle, so far."""
    function = install().stand_in_launches_on
    function.argtypes, function.restype = [ctypes.c_void_p], ctypes.c_long
    return int(function(stream))


@contextmanager
def flushing_subnormals() -> Iterator[None]:
    """Let kernels take subnormal numbers for 0, as a GPU does in float32 (and here in float64 too)."""
    switch = ctypes.c_int.in_dll(install(), "stand_in_flush_subnormals")
    switch.value = 1
    try:
        yield
    finally:
        switch.value = 0
