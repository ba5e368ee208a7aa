"""GPUs: the one that operands share, what it is called, and what to do when it fails."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import cupy

from lucid_cupy import version

__all__ = ["FAILURES", "description", "shared_device", "using"]

FAILURES: Final = (
    cupy.cuda.memory.OutOfMemoryError,
    cupy.cuda.runtime.CUDARuntimeError,
    cupy.cuda.driver.CUDADriverError,
)
OUT_OF_MEMORY, UNAVAILABLE = 2, 46  # cudaErrorMemoryAllocation, cudaErrorDevicesUnavailable; the driver's too

FULL: Final = (
    "{device} is out of memory: {error}; your arrays are as they were. Pass smaller batches, or free memory: "
    "cupy.get_default_memory_pool().free_all_blocks() gives back what CuPy keeps, and nvidia-smi shows what "
    "other processes have"
)
BUSY: Final = (
    "{device} is busy or unavailable: {error}; your arrays are as they were. nvidia-smi shows which "
    "processes use it, and whether its compute mode lets only one in"
)
FAILED: Final = (
    "{device} failed: {error}; lucid has written to none of your arrays. If nvidia-smi no longer lists it, "
    "it is lost; after most failures only a new process can use it again"
)


@contextmanager
def shared_device(first: Any, *others: Any) -> Iterator[Any]:
    """Make the device that the operands share the current one; its failures name it."""
    for each in others:
        if each is not None and each.device != first.device:
            raise ValueError(
                f"input is on {first.device} and another operand on {each.device}; nothing is copied between "
                f"devices silently"
            )
    with using(first.device):
        yield first.device


@contextmanager
def using(device: Any) -> Iterator[None]:
    """Make a device the current one; its failures name it."""
    try:
        with device:
            yield
    except FAILURES as error:
        full = isinstance(error, MemoryError) or error.status == OUT_OF_MEMORY
        text = FULL if full else BUSY if error.status == UNAVAILABLE else FAILED
        message = text.format(device=name_of(device.id), error=error)
        raise (MemoryError if full else RuntimeError)(message) from error


def name_of(device: int) -> str:
    """Name a device by its number and its model; by its number alone if it does not answer."""
    try:
        model = cupy.cuda.runtime.getDeviceProperties(device)["name"].decode()
    except cupy.cuda.runtime.CUDARuntimeError:
        return f"CUDA device {device}"
    return f"CUDA device {device} ({model})"


def description() -> str:
    """Name the GPUs, and the versions of what runs kernels on them."""
    runtime = cupy.cuda.runtime
    names = [name_of(device) for device in range(runtime.getDeviceCount())]
    driver, toolkit = version(runtime.driverGetVersion()), version(runtime.runtimeGetVersion())
    return (
        f"CuPy {cupy.__version__} for CUDA {toolkit}, with a driver for CUDA {driver}, on {', '.join(names)}"
    )
