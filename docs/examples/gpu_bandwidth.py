"""Measure on a GPU how close the losses come to the speed of its memory: their bytes a second, and a copy's.

    python gpu_bandwidth.py
    python gpu_bandwidth.py --dtype float64 --elements 50000000

CUDA's events take the time, on the device. The bytes are those that have to be moved: each operand once,
each result once. Needs a GPU, and ``python -m pip install "lucid-bce[cupy-cuda12x]"``.
"""

import argparse
import sys

import lucid
from lucid.errors import BackendUnavailableError


def milliseconds(cupy, work, repeat):
    """Return the median time of some work, after a first run that compiles its kernels."""
    work()
    times = []
    for _ in range(repeat):
        began, ended = cupy.cuda.Event(), cupy.cuda.Event()
        began.record()
        work()
        ended.record()
        ended.synchronize()
        times.append(cupy.cuda.get_elapsed_time(began, ended))
    return sorted(times)[repeat // 2]


def cases(cupy, elements, dtype):
    """Yield what is measured: a name, the work, and how many times it moves an array's bytes."""
    p = cupy.linspace(0.001, 0.999, elements).astype(dtype)
    y = (cupy.arange(elements) % 3 == 0).astype(dtype)
    z, copy = 20 * p - 10, cupy.empty_like(p)
    yield "copy", lambda: cupy.copyto(copy, p), 2
    for loss, x in ((lucid.nn.BCELoss, p), (lucid.nn.BCEWithLogitsLoss, z)):
        name, mean, each = loss.__name__, loss(), loss(reduction="none")
        yield f"{name}, mean", lambda x=x, mean=mean: mean(x, y), 2
        yield f"{name}, unreduced", lambda x=x, each=each: each(x, y), 3
        yield f"{name}, value_and_grad", lambda x=x, mean=mean: mean.value_and_grad(x, y), 3


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--elements", type=int, default=2**26, help="of each array (2^26)")
    parser.add_argument("--dtype", default="float32", choices=["float16", "float32", "float64"])
    parser.add_argument("--repeat", type=int, default=21, help="runs, of which the median counts (21)")
    options = parser.parse_args()
    try:
        backend = lucid.get_backend("cupy")
    except BackendUnavailableError as error:
        print(error, file=sys.stderr)
        return 1
    import cupy

    print(backend.description)
    print(f"{options.elements} elements of {options.dtype}")
    best = None
    for name, work, moves in cases(cupy, options.elements, options.dtype):
        bytes_moved = moves * options.elements * cupy.dtype(options.dtype).itemsize
        speed = bytes_moved / milliseconds(cupy, work, options.repeat) / 1e6
        best = best or speed
        print(f"{name:36}{speed:10.1f} GB/s{speed / best:8.0%} of a copy")
    return 0


if __name__ == "__main__":
    sys.exit(main())
