"""The arithmetic on a block: contiguous vectors in the wide dtype, every operation in place.

The definition is `lucid.kernels`. Here it is rearranged for few passes and few logarithms, always in such a
way that an element's bits depend on the element alone, never on its neighbours. The few elements that the
rearranged formulas are not good for (out of range, nan, infinite) are computed by the definition.

1 - x is rounded; what it loses, r = x - (1 - (1 - x)), is known exactly, and to second order in r the
logarithm of 1 - x is that of the rounded one minus r/rounded. So log1p, of which NumPy has no fast one, is
not needed.
"""

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lucid.protocol import LossSpec
from lucid_host.sums import logit_sum, probability_sum

__all__ = ["ROWS", "LogitBlock", "Operands", "ProbabilityBlock"]

Vector: TypeAlias = NDArray[Any]
Mask: TypeAlias = NDArray[np.bool_]
Factor: TypeAlias = "Vector | float"

ROWS = 6
"""The vectors of scratch that a block needs."""


class Operands(NamedTuple):
    """A block of a problem; `y` and `rest` are the smoothed target and 1 minus it."""

    x: Vector
    y: Vector
    rest: Vector
    w: Factor
    v: Factor
    hard: bool


class ProbabilityBlock:
    """The loss from probabilities."""

    sum = staticmethod(probability_sum)

    def special(self, spec: LossSpec, x: Vector) -> Mask | None:
        """Mark the elements for the definition, if any: out of [0, 1], or with an unbounded loss."""
        open_ended = spec.eps == 0
        low, high = x.min(), x.max()
        if (low > 0 and high < 1) or (low >= 0 and high <= 1 and not open_ended):
            return None
        return ~((x > 0) & (x < 1)) if open_ended else ~((x >= 0) & (x <= 1))

    def losses(self, spec: LossSpec, at: Operands, s: Vector) -> Vector:
        """Compute the unreduced losses, into scratch."""
        lowest = smallest(at.x.dtype)
        if at.hard:
            a = np.subtract(at.x, at.rest, out=s[0])  # x for the label 1, -(1 - x) for 0
            r = lost(at.x, a, at.rest, s[1])
            np.maximum(np.abs(a, out=a), lowest, out=a)
            negative_log(a, r, spec.largest_term)
            if isinstance(at.v, float) and at.v == 1:
                return times(a, at.w)
            factor = np.add(np.multiply(at.y, at.v, out=r), at.rest, out=r)
            return times(a, times(factor, at.w))
        positive = np.maximum(at.x, lowest, out=s[0])
        np.negative(np.log(positive, out=positive), out=positive)
        np.minimum(positive, spec.largest_term, out=positive)
        a = np.subtract(at.x, 1, out=s[1])
        r = lost(at.x, a, 1, s[2])
        np.maximum(np.negative(a, out=a), lowest, out=a)
        negative_log(a, r, spec.largest_term)
        return weighted_sum(at, positive, a, s[2])

    def slopes(self, spec: LossSpec, at: Operands, s: Vector, lowest: float) -> Vector:
        """Compute the derivatives by the input, into scratch; `lowest` bounds the divisors."""
        if at.hard:
            a = np.subtract(at.x, at.rest, out=s[0])
            np.maximum(np.abs(a, out=a), lowest, out=a)
            sign = np.subtract(at.rest, at.y, out=s[1])
            slope = np.divide(sign, a, out=sign)
            if spec.eps:
                np.copyto(slope, 0, where=a < spec.eps)
            if isinstance(at.v, float) and at.v == 1:
                return times(slope, at.w)
            factor = np.add(np.multiply(at.y, at.v, out=a), at.rest, out=a)
            return times(slope, times(factor, at.w))
        q = np.subtract(1, at.x, out=s[0])
        p_low, q_low = np.maximum(at.x, lowest, out=s[1]), np.maximum(q, lowest, out=s[2])
        down, up = np.divide(at.y, p_low, out=s[3]), np.divide(at.rest, q_low, out=s[4])
        if spec.eps:
            np.copyto(down, 0, where=at.x < spec.eps)
            np.copyto(up, 0, where=q < spec.eps)
        soft = None
        if isinstance(at.v, float) and at.v == 1 and not spec.label_smoothing:
            soft = (down != 0) & (up != 0)
        slope = weighted_difference(at, up, down, s[5])
        if soft is None:
            return slope
        # ((p - y) / p) / (1 - p) w, with what the bounds have added to p and 1 - p
        added = np.add(p_low - at.x, q_low - q, out=q)
        over = np.subtract(p_low, at.y, out=s[3])
        np.subtract(over, np.multiply(added, at.y, out=added), out=over)
        np.divide(np.divide(over, p_low, out=over), q_low, out=over)
        np.copyto(slope, times(over, at.w), where=soft)
        return slope


class LogitBlock:
    """The loss from logits."""

    sum = staticmethod(logit_sum)

    def special(self, spec: LossSpec, x: Vector) -> Mask | None:
        """Mark the elements for the definition, if any: infinities and nan."""
        return None if x.min() > -np.inf and x.max() < np.inf else ~np.isfinite(x)

    def losses(self, spec: LossSpec, at: Operands, s: Vector) -> Vector:
        """Compute the unreduced losses, into scratch."""
        d = np.abs(at.x, out=s[0])
        np.exp(np.negative(d, out=d), out=d)
        u = np.add(d, 1, out=s[1])
        r = np.subtract(np.subtract(u, 1, out=s[2]), d, out=s[2])  # what 1 + d has rounded up
        np.subtract(np.log(u, out=d), np.divide(r, u, out=r), out=d)  # log1p(d)
        positive = np.add(np.maximum(np.negative(at.x, out=u), 0, out=u), d, out=u)
        negative = np.add(np.maximum(at.x, 0, out=r), d, out=d)
        return weighted_sum(at, positive, negative, r)

    def slopes(self, spec: LossSpec, at: Operands, s: Vector, lowest: float) -> Vector:
        """Compute the derivatives by the input, into scratch."""
        d = np.abs(at.x, out=s[0])
        np.exp(np.negative(d, out=d), out=d)
        u = np.add(d, 1, out=s[1])
        small, large = np.divide(d, u, out=d), np.divide(1, u, out=u)
        negative = at.x < 0
        up, down = s[2], s[3]
        np.copyto(up, large)
        np.copyto(up, small, where=negative)
        np.copyto(down, small)
        np.copyto(down, large, where=negative)
        np.multiply(at.rest, up, out=up)
        np.multiply(at.y, down, out=down)
        return weighted_difference(at, up, down, s[4])


def smallest(dtype: np.dtype[Any]) -> float:
    """The number that stands for 0 in a logarithm, so small that the logarithm's bound of -100 holds."""
    return 2.0**-149 if dtype == np.float32 else 2.0**-1074


def lost(x: Vector, difference: Vector, subtrahend: Factor, out: Vector) -> Vector:
    """What the rounding of x - 1, or x - 0, has lost: exact, since the sum before it is."""
    return np.subtract(x, np.add(difference, subtrahend, out=out), out=out)


def negative_log(a: Vector, r: Vector, largest: float) -> None:
    """Replace a by -log(a - r), at most `largest`."""
    np.divide(r, a, out=r)
    np.subtract(r, np.log(a, out=a), out=a)
    np.minimum(a, largest, out=a)


def times(values: Vector, factor: Factor) -> Vector:
    """Multiply in place, unless by 1."""
    if isinstance(factor, float) and factor == 1:
        return values
    return np.multiply(values, factor, out=values)


def weighted_sum(at: Operands, positive: Vector, negative: Vector, spare: Vector) -> Vector:
    """Compute w v y P + w (1-y) N, into P."""
    np.multiply(positive, at.y, out=positive)
    np.multiply(negative, at.rest, out=negative)
    times(positive, both(at, spare))
    return np.add(positive, times(negative, at.w), out=positive)


def weighted_difference(at: Operands, up: Vector, down: Vector, spare: Vector) -> Vector:
    """Compute w up - w v down, into up."""
    times(down, both(at, spare))
    return np.subtract(times(up, at.w), down, out=up)


def both(at: Operands, out: Vector) -> Factor:
    """Compute w v."""
    if isinstance(at.w, float) and isinstance(at.v, float):
        return at.w * at.v
    return np.multiply(at.w, at.v, out=out)
