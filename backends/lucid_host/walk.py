"""Walking over host memory: in blocks that stay in the cache, with scratch to work in, in several threads.

Blocks depend on the shape alone, and their sums are added exactly, so that neither the number of threads nor
the layout of the memory changes a bit of a result.
"""

from collections.abc import Callable
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from lucid._threads import get_num_threads
from lucid.tiling import RUN, blocks, exactly
from lucid_host.threads import in_threads

__all__ = [
    "Array",
    "Factor",
    "Place",
    "Problem",
    "Scratch",
    "Vector",
    "aligned",
    "cut",
    "each_block",
    "folded",
    "places",
    "total",
]

Array: TypeAlias = NDArray[Any]
Vector: TypeAlias = NDArray[Any]
Factor: TypeAlias = "Vector | float"
Problem: TypeAlias = tuple[Array, Array, Array | None, Array | None]
Place: TypeAlias = tuple[Any, ...]
Result = TypeVar("Result")

ENOUGH: Final = 1 << 22
"""Elements that are worth a thread."""

LINE: Final = 64
"""Bytes of a line of the cache."""


class Scratch:
    """Memory to work in, allocated when it is first asked for; one for each thread and call."""

    def __init__(self) -> None:
        self.memory: dict[str, tuple[Array, list[Vector]]] = {}

    def rows(self, name: str, number: int, size: int, dtype: DTypeLike) -> list[Vector]:
        """Give at least so many vectors to work in; the same memory for the same name."""
        held = self.memory.get(name)
        if held is not None:
            memory, rows = held
            if memory.dtype == dtype and len(rows) >= number:
                if rows[0].size == size:
                    return rows
                if memory.shape[1] >= size:
                    return [row[:size] for row in memory]
        memory = aligned(number, size, np.dtype(dtype))
        rows = [row[:size] for row in memory]
        self.memory[name] = memory, rows
        return rows

    def load(self, name: str, values: Array, dtype: DTypeLike) -> Vector:
        """Give an array as a vector in a dtype; without a copy if it is one."""
        if values.dtype == dtype and values.flags.c_contiguous and values.flags.aligned:
            return values.reshape(-1)
        vector: Vector = self.rows(name, 1, values.size, dtype)[0]
        axes = sorted(range(values.ndim), key=lambda axis: -abs(values.strides[axis]))
        if axes == list(range(values.ndim)):
            np.copyto(vector.reshape(values.shape), values, casting="unsafe")
            return vector
        # in the order of the memory first: what is read across lines of the cache is in the cache then
        ordered = values.transpose(axes)
        copy = self.rows("in order", 1, values.size, dtype)[0].reshape(ordered.shape)
        np.copyto(copy, ordered, casting="unsafe")
        np.copyto(vector.reshape(values.shape).transpose(axes), copy)
        return vector

    def floating(self, name: str, values: Array, dtype: DTypeLike) -> Vector:
        """Give an array as a vector of its own dtype, if that can be calculated with, or else in a dtype."""
        own = values.dtype if values.dtype.kind == "f" and values.dtype.itemsize > 2 else np.dtype(dtype)
        return self.load(name, values, own.newbyteorder("="))

    def factor(self, name: str, weight: Array | None, dtype: DTypeLike) -> Factor:
        """Give a weight: as a number, if it is one broadcast number or there is none."""
        if weight is None:
            return 1.0
        return self.load(name, weight, dtype) if any(weight.strides) else float(weight.flat[0])


def aligned(number: int, size: int, dtype: np.dtype[Any]) -> Array:
    """Allocate vectors that begin with a line of the cache: half of all stores would cross one otherwise."""
    width = -(-size * dtype.itemsize // LINE) * LINE
    memory = np.empty(number * width + LINE, np.uint8)
    start = -memory.__array_interface__["data"][0] % LINE
    return memory[start : start + number * width].reshape(number, width).view(dtype)


def places(array: Array, size: int) -> list[Place]:
    """Cut an array into blocks."""
    return list(blocks(array.shape, size)) if array.size else []


def cut(operands: Problem, place: Place) -> Problem:
    """Take a part of each operand."""
    x, y, w, v = operands
    return x[place], y[place], None if w is None else w[place], None if v is None else v[place]


def each_block(task: Callable[[Place, Scratch], Result], array: Array, size: int) -> list[Result]:
    """Do a task for each block of at most so many elements; in threads, if there are enough elements.

    NumPy's loops, and ours in C++, let them run side by side.
    """
    items = places(array, size)
    number = min(get_num_threads(), len(items), array.size // ENOUGH)
    if number <= 1:
        scratch = Scratch()
        return [task(place, scratch) for place in items]

    def make() -> Callable[[Place], Result]:
        scratch = Scratch()

        def quiet(place: Place) -> Result:
            with np.errstate(all="ignore"):  # it holds for one thread only
                return task(place, scratch)

        return quiet

    return in_threads(make, items, number)


def folded(ufunc: np.ufunc, values: Vector, times: int) -> Vector:
    """Reduce 2**times rows to one, in place: the two halves with one another, again and again."""
    for _ in range(times):
        half = values.size // 2
        values = ufunc(values[:half], values[half:], out=values[:half])
    return values


def total(values: Vector) -> tuple[float, float]:
    """Add up a vector of scratch, which is written over: 128 rows pairwise, their sums exactly."""
    whole = values.size // RUN * RUN
    rest = values[whole:].tolist()
    return exactly([*folded(np.add, values[:whole], 7).tolist(), *rest])
