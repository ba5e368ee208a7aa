"""A block's losses in groups of eight, quickly: one logarithm for a group, and no wider dtype.

A sum of logarithms is the logarithm of a product. A group is a column of the block as eight rows, so that
all of them are multiplied at once. What comes out is rounded much; `lucid_host.quick` says how much, and what
these functions return None for, or nan, is left to `lucid_host.blocks`.
"""

from typing import Any, Final, NamedTuple

import numpy as np

from lucid_host.walk import Factor, Vector, folded

__all__ = ["GROUP", "ROWS", "Groups", "Values", "logit_groups", "probability_groups"]

GROUP: Final = 8

ROWS: Final = 4
"""The vectors of scratch that a block needs."""

LEAST: Final = {np.dtype(np.float32): 2.0**-126, np.dtype(np.float64): 2.0**-144}
"""What is at least this is normal, and its logarithm does not meet the bound of -100."""


class Groups(NamedTuple):
    """The losses of a block, in groups; and 1 - y, if each divisor is normal and each label is hard."""

    sums: Vector
    rest: Vector | None = None


class Values(NamedTuple):
    """A block, contiguous, in float32 or float64; its size is a multiple of eight.

    `hard` says whether to take the labels for hard ones; None to look.
    """

    x: Vector
    y: Vector
    w: Factor
    v: Factor
    smoothing: float
    hard: bool | None

    @property
    def unit(self) -> bool:
        """Whether there are no weights."""
        return is_one(self.w) and is_one(self.v)


def probability_groups(at: Values, s: Vector) -> Groups | None:
    """Add the losses from probabilities, group by group, into scratch."""
    if not (in_unit_interval(at.x) and in_unit_interval(at.y)):
        return None
    rest, t, least = np.subtract(1, at.y, out=s[0]), s[1], LEAST[at.x.dtype]
    hard = at.hard
    if hard is None:
        hard = not at.smoothing and not np.vecdot(at.y.reshape(GROUP, -1), rest.reshape(GROUP, -1)).any()
    if not hard:
        return soft_groups(at, rest, s) if at.x.min() >= least and at.x.max() < 1 else None
    np.subtract(at.x, rest, out=t)  # x for the label 1, -(1 - x) for 0
    products = folded(np.multiply, t, 3) if at.unit else t
    np.abs(products, out=products)
    if not products.min() >= least:
        return None
    logarithms = np.log(products, out=products)
    if not at.unit:
        factor = np.multiply(np.add(np.multiply(at.y, at.v, out=s[2]), rest, out=s[2]), at.w, out=s[2])
        logarithms = folded(np.add, np.multiply(logarithms, factor, out=logarithms), 3)
    return Groups(np.negative(logarithms, out=logarithms), rest)


def soft_groups(at: Values, rest: Vector, s: Vector) -> Groups:
    """Add the losses from probabilities that are neither 0 nor 1, group by group, into scratch."""
    y, rest = smoothed(at, rest, s[-1])
    positive = np.multiply(np.log(at.x, out=s[1]), y, out=s[1])
    negative = np.log(np.subtract(1, at.x, out=s[2]), out=s[2])
    np.multiply(negative, rest, out=negative)
    if not is_one(at.v):
        np.multiply(positive, at.v, out=positive)
    losses = np.add(positive, negative, out=positive)
    if not is_one(at.w):
        np.multiply(losses, at.w, out=losses)
    groups = folded(np.add, losses, 3)
    return Groups(np.negative(groups, out=groups))


def logit_groups(at: Values, s: Vector) -> Groups | None:
    """Add the losses from logits, group by group, into scratch; nan for infinities.

    Without weights the loss is log(1 + exp(-|z|)) + max(z, 0) - y z, with hard labels without rounding the
    last two terms.
    """
    if not in_unit_interval(at.y):
        return None
    u = np.add(np.exp(minus_magnitude(at.x, s[0]), out=s[0]), 1, out=s[0])
    above = np.maximum(at.x, 0, out=s[1])
    if at.unit:
        products = folded(np.multiply, u, 3)
        y = smoothed(at, None, s[2])[0]
        linear = np.subtract(above, np.multiply(y, at.x, out=s[2]), out=above)
        return Groups(np.add(np.log(products, out=products), folded(np.add, linear, 3), out=products))
    decay = np.log(u, out=u)
    positive = np.add(np.subtract(above, at.x, out=s[2]), decay, out=s[2])  # softplus(-z)
    negative = np.add(above, decay, out=above)
    y, rest = smoothed(at, np.subtract(1, at.y, out=decay), s[-1])
    np.multiply(positive, np.multiply(y, at.v, out=s[-1]), out=positive)
    losses = np.add(positive, np.multiply(negative, rest, out=negative), out=positive)
    return Groups(folded(np.add, np.multiply(losses, at.w, out=losses), 3))


def smoothed(at: Values, rest: Vector | None, out: Vector) -> tuple[Vector, Any]:
    """Smooth the labels, into `out`, and 1 minus them, in place, if they are to be."""
    s = at.smoothing
    if not s:
        return at.y, rest
    y = np.add(np.multiply(at.y, 1 - s, out=out), s / 2, out=out)
    return y, None if rest is None else np.add(np.multiply(rest, 1 - s, out=rest), s / 2, out=rest)


def in_unit_interval(values: Vector) -> bool:
    """Whether all are in [0, 1] and none is -0: as unsigned integers, such numbers are in order."""
    unsigned = np.dtype(f"u{values.dtype.itemsize}")
    return bool(values.view(unsigned).max() <= np.ones((), values.dtype).view(unsigned))


def minus_magnitude(values: Vector, out: Vector) -> Vector:
    """Compute -|x|: set the sign bit."""
    unsigned = np.dtype(f"u{values.dtype.itemsize}")
    sign = np.asarray(-0.0, values.dtype).view(unsigned)
    np.bitwise_or(values.view(unsigned), sign, out=out.view(unsigned))
    return out


def is_negative(values: Vector, out: Vector) -> Vector:
    """Give 1 where the sign bit is set, and 0 elsewhere."""
    signed = np.dtype(f"i{values.dtype.itemsize}")
    one = np.ones((), values.dtype).view(signed)
    ones = np.right_shift(values.view(signed), 8 * signed.itemsize - 1, out=out.view(signed))
    np.bitwise_and(ones, one, out=ones)
    return out


def is_one(factor: Factor) -> bool:
    """Whether it is the number 1."""
    return isinstance(factor, float) and factor == 1
