"""Small operations on vectors of scratch, faster than NumPy's obvious ones."""

from typing import Final

import numpy as np
from numpy.typing import DTypeLike

from lucid_host.walk import Array, Factor, Scratch, Vector, aligned

__all__ = [
    "BITS",
    "decay",
    "hard_rest",
    "in_unit_interval",
    "is_negative",
    "is_one",
    "positive_part",
]

LOOK: Final = 8
"""Labels that tell whether it pays to ask if all are 0 or 1."""


def hard_zeros(target: Array, scratch: Scratch) -> Vector | None:
    """Say which labels are 0, if each one is 0 or 1."""
    labels = scratch.load("own labels", target, target.dtype)
    if not {0, 1}.issuperset(labels[:LOOK].tolist()):
        return None
    ones, zeros = scratch.rows("labels", 2, labels.size, np.bool_)
    np.equal(labels, 0, out=zeros)
    if labels.dtype != np.bool_:
        either = np.bitwise_or(np.equal(labels, 1, out=ones), zeros, out=ones)
        if not np.minimum.reduce(either.view(np.uint8)):
            return None
    return zeros


def hard_rest(target: Array, scratch: Scratch, name: str, dtype: DTypeLike) -> Vector | None:
    """Give 1 - y as a vector, if each label is 0 or 1."""
    zeros = hard_zeros(target, scratch)
    if zeros is None:
        return None
    rest: Vector = scratch.rows(name, 1, target.size, dtype)[0]
    np.copyto(rest, zeros)
    return rest


def in_unit_interval(values: Vector) -> bool:
    """Whether all are in [0, 1] and none is -0: as unsigned integers, such numbers are in order."""
    unsigned, one = BITS[values.dtype]
    return bool(np.maximum.reduce(values.view(unsigned)) <= one)


BITS: Final = {
    dtype: (unsigned, np.ones((), dtype).view(unsigned)[()])
    for dtype, unsigned in ((np.dtype(np.float32), np.uint32), (np.dtype(np.float64), np.uint64))
}
"""The integers of a dtype's size, and the bits of 1."""

ZEROS: Final = {dtype: np.zeros(1 << 16, dtype) for dtype in BITS}
"""Never written to."""


def positive_part(values: Vector, out: Vector) -> Vector:
    """Compute max(x, 0); NumPy takes twice as long if 0 is a number."""
    zeros = ZEROS[values.dtype]
    for start in range(0, values.size, zeros.size):
        part = values[start : start + zeros.size]
        np.maximum(part, zeros[: part.size], out=out[start : start + zeros.size])
    return out


def minus_magnitude(values: Vector, out: Vector) -> Vector:
    """Compute -|x|: set the sign bit."""
    unsigned = BITS[values.dtype][0]
    np.bitwise_or(values.view(unsigned), SIGN[values.dtype], out=out.view(unsigned))
    return out


SIGN: Final = {dtype: np.asarray(-0.0, dtype).view(unsigned)[()] for dtype, (unsigned, _) in BITS.items()}


def decay(z: Vector, out: Vector) -> Vector:
    """Compute exp(-|z|); in float64, for in float32 NumPy's is 2.4 ULP off."""
    minus_magnitude(z, out)
    if z.dtype == np.float64:
        return np.exp(out, out=out)
    room = aligned(1, min(z.size, 1 << 15), np.dtype(np.float64))[0]
    for start in range(0, z.size, room.size):
        part = out[start : start + room.size]
        wide = room[: part.size]
        np.copyto(wide, part)
        np.copyto(part, np.exp(wide, out=wide), casting="same_kind")
    return out


def is_negative(values: Vector, out: Vector) -> Vector:
    """Give 1 where a number is negative, and 0 elsewhere."""
    np.copyto(out, np.less(values, 0))
    return out


def is_one(factor: Factor) -> bool:
    """Whether it is the number 1."""
    return isinstance(factor, float) and factor == 1
