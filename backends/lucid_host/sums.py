"""A block's losses in groups of eight, quickly: one logarithm for a group, and no wider dtype.

A sum of logarithms is the logarithm of a product. A group is a column of the block as eight rows, so that
all of them are multiplied at once. What comes out is rounded much; `lucid_host.quick` says how much, and what
these functions return None for, or nan, is left to `lucid_host.blocks`.

Logarithms are to the base 2, which in float32 is the fastest one of NumPy's.
"""

from math import exp, log, log2
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from lucid.kernels import FAR
from lucid_host.walk import Array, Factor, Scratch, Vector, aligned, folded

__all__ = [
    "BITS",
    "GROUP",
    "ROWS",
    "Groups",
    "Values",
    "decay",
    "hard_rest",
    "hard_zeros",
    "in_unit_interval",
    "is_negative",
    "is_one",
    "logit_groups",
    "positive_part",
    "probability_groups",
]

GROUP: Final = 8

ROWS: Final = 3
"""The vectors of scratch that a block needs: one more for smoothing or weights, and one more to keep some."""

LEAST: Final = {np.dtype(np.float32): 2.0**-126, np.dtype(np.float64): 2.0**-144}
"""What is at least this is normal, and its logarithm does not meet the bound of -100."""


LOOK: Final = 8
"""Labels that tell whether it pays to ask if all are 0 or 1."""


class Groups(NamedTuple):
    """The losses of a block, in groups, divided by `unit`, and the largest magnitude among them.

    `hard` says that each label is hard and each divisor of a gradient normal. `kept` is what a gradient can
    be computed from, if it is to be kept: from probabilities, and if the labels are hard, 1 - y; from logits,
    exp(-|z|).
    """

    sums: Vector
    unit: float
    largest: float
    hard: bool = False
    kept: Vector | None = None


class Values(NamedTuple):
    """A block, contiguous, in float32 or float64; its size is a multiple of eight.

    `rest` is 1 - y, if each label is known to be 0 or 1, and then there is no `y`. `keep` asks for
    `Groups.kept`.
    """

    x: Vector
    y: Vector
    rest: Vector | None
    w: Factor
    v: Factor
    smoothing: float
    keep: bool = False

    @property
    def unit(self) -> bool:
        """Whether there are no weights."""
        return is_one(self.w) and is_one(self.v)


def probability_groups(at: Values, s: list[Vector]) -> Groups | None:
    """Add the losses from probabilities, group by group, into scratch."""
    if at.rest is None:
        return soft_groups(at, s)
    factor = None if at.unit else hard_factor(at, at.rest, s[1])
    # x for the label 1, -(1 - x) for 0
    t = np.subtract(at.x, at.rest, out=s[0] if at.keep or factor is not None else at.rest)
    if not in_unit_interval(at.x):
        return None
    products = folded(np.multiply, t, 3) if factor is None else t
    np.abs(products, out=products)
    if not (least := np.minimum.reduce(products)) >= LEAST[at.x.dtype]:
        return None
    logarithms, kept = np.log2(products, out=products), at.rest if at.keep else None
    if factor is None:
        return Groups(logarithms, -log(2), -log2(least) * log(2), True, kept)
    return groups_of(np.multiply(logarithms, factor, out=t), -log(2))._replace(hard=True, kept=kept)


def groups_of(losses: Vector, unit: float) -> Groups:
    """Add losses to groups."""
    sums = folded(np.add, losses, 3)
    return Groups(
        sums, unit, max(float(np.maximum.reduce(sums)), -float(np.minimum.reduce(sums))) * abs(unit)
    )


def hard_factor(at: Values, rest: Vector, out: Vector) -> Factor:
    """Give w v for the label 1, and w for the label 0."""
    if is_one(at.v):
        return at.w
    np.add(np.multiply(np.subtract(1, rest, out=out), at.v, out=out), rest, out=out)
    return out if is_one(at.w) else np.multiply(out, at.w, out=out)


def soft_groups(at: Values, s: list[Vector]) -> Groups | None:
    """Add the losses from probabilities that are neither 0 nor 1, group by group, into scratch."""
    rest, q = np.subtract(1, at.y, out=s[0]), np.subtract(1, at.x, out=s[1])
    if not (in_unit_interval(at.x) and in_unit_interval(at.y)):
        return None
    if not (np.minimum.reduce(at.x) >= LEAST[at.x.dtype] and np.minimum.reduce(q) > 0):
        return None
    y, rest = smoothed(at, rest, s[3:])
    negative = np.multiply(np.log2(q, out=q), rest, out=q)
    positive = np.multiply(np.log2(at.x, out=s[2]), y, out=s[2])
    if not is_one(at.v):
        np.multiply(positive, at.v, out=positive)
    losses = np.add(positive, negative, out=positive)
    if not is_one(at.w):
        np.multiply(losses, at.w, out=losses)
    return groups_of(losses, -log(2))


def logit_groups(at: Values, s: list[Vector]) -> Groups | None:
    """Add the losses from logits, group by group, into scratch; nan for infinities.

    Without weights the loss is log(1 + exp(-|z|)) + max(z, 0) - y z, with hard labels without rounding the
    last two terms.
    """
    d = decay(at.x, s[-1]) if at.keep else np.exp(minus_magnitude(at.x, s[0]), out=s[0])
    u, above = np.add(d, 1, out=s[0]), positive_part(at.x, s[1])
    kept = d if at.keep and not is_far(d) else None
    if at.unit:
        y = smoothed(at, None, s[2:])[0]
        linear = folded(np.add, np.subtract(above, np.multiply(y, at.x, out=s[2]), out=above), 3)
        if not in_unit_interval(at.y):
            return None
        products = folded(np.multiply, u, 3)
        sums = np.add(np.multiply(np.log2(products, out=products), log(2), out=products), linear, out=linear)
        return Groups(sums, 1.0, float(np.maximum.reduce(sums)), kept=kept)
    if not in_unit_interval(at.y):
        return None
    both = np.multiply(np.log2(u, out=u), log(2), out=u)
    positive = np.add(np.subtract(above, at.x, out=s[2]), both, out=s[2])  # softplus(-z)
    negative = np.add(above, both, out=above)
    y, rest = smoothed(at, np.subtract(1, at.y, out=both), s[3:])
    np.multiply(positive, np.multiply(y, at.v, out=s[3]), out=positive)
    losses = np.add(positive, np.multiply(negative, rest, out=negative), out=positive)
    return groups_of(np.multiply(losses, at.w, out=losses), 1.0)._replace(kept=kept)


def smoothed(at: Values, rest: Vector | None, spare: list[Vector]) -> tuple[Vector, Any]:
    """Smooth the labels, into scratch, and 1 minus them, in place, if they are to be."""
    s = at.smoothing
    if not s:
        return at.y, rest
    y = np.add(np.multiply(at.y, 1 - s, out=spare[0]), s / 2, out=spare[0])
    return y, None if rest is None else np.add(np.multiply(rest, 1 - s, out=rest), s / 2, out=rest)


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


def decay(z: Vector, out: Vector, room: Vector | None = None) -> Vector:
    """Compute exp(-|z|); in float64, in some room for it, for in float32 NumPy's is 2.4 ULP off."""
    minus_magnitude(z, out)
    if z.dtype == np.float64:
        return np.exp(out, out=out)
    if room is None:
        room = aligned(1, min(z.size, 1 << 15), np.dtype(np.float64))[0]
    for start in range(0, z.size, room.size):
        part = out[start : start + room.size]
        wide = room[: part.size]
        np.copyto(wide, part)
        np.copyto(part, np.exp(wide, out=wide), casting="same_kind")
    return out


def is_far(d: Vector) -> bool:
    """Whether a number is so small that the definition computes it in halves."""
    return d.dtype == np.float64 and bool(np.minimum.reduce(d) < exp(-FAR))


def is_negative(values: Vector, out: Vector) -> Vector:
    """Give 1 where a number is negative, and 0 elsewhere."""
    np.copyto(out, np.less(values, 0))
    return out


def is_one(factor: Factor) -> bool:
    """Whether it is the number 1."""
    return isinstance(factor, float) and factor == 1
