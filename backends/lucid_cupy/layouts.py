"""Where the elements of a kernel's operands are, as arrays.cuh wants to know it."""

from functools import lru_cache
from math import prod
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["DIMENSIONS", "LAYOUT", "Layout", "layout_of"]

DIMENSIONS: Final = 32
"""What CuPy's arrays have at most."""

LAYOUT: Final = np.dtype(
    [
        ("size", "i8"),
        ("dimensions", "i8"),
        ("lengths", "i8", (DIMENSIONS,)),
        ("strides", "i8", (DIMENSIONS, 5)),
    ]
)


class Layout(NamedTuple):
    """Where the elements of all operands are, packed for a kernel, and whether each operand is one line."""

    packed: NDArray[np.void]
    contiguous: bool


@lru_cache(maxsize=1024)
def layout_of(
    shape: tuple[int, ...], strides: tuple[tuple[int, ...] | None, ...], sizes: tuple[int, ...]
) -> Layout:
    """Merge the dimensions that can be walked as one in every operand."""
    still = (0,) * len(shape)  # what is absent or has no dimensions is the same for all
    each = [step or still for step in strides]
    each += [still] * (5 - len(each))
    merged: list[tuple[int, tuple[int, ...]]] = []
    for length, steps in zip(shape, zip(*each, strict=True), strict=True):
        if length == 1:
            continue
        if merged and merged[-1][1] == tuple(step * length for step in steps):
            merged[-1] = (merged[-1][0] * length, steps)
        else:
            merged.append((length, steps))
    layout = np.zeros((), LAYOUT)
    layout["size"] = prod(shape)
    layout["dimensions"] = len(merged)
    for n, (length, steps) in enumerate(merged):
        layout["lengths"][n], layout["strides"][n] = length, steps
    lines = len(merged) < 2 and all(
        step in {0, size} for _, steps in merged for step, size in zip(steps, sizes, strict=False)
    )
    return Layout(layout, lines)
