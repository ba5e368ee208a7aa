"""The arithmetic on a block: contiguous vectors in the wide dtype, every operation in place.

The definition is `lucid.kernels`. Here it is rearranged for few passes and few logarithms, always in such a
way that an element's bits depend on the element alone, never on its neighbours: what a block can do without
is only ever what would not change a bit. The few elements that the rearranged formulas are not good for (out
of range, nan, infinite) are computed by the definition.

1 - x is rounded; what it loses, r = x - (1 - (1 - x)), is known exactly, and to second order in r the
logarithm of 1 - x is that of the rounded one minus r/rounded. So log1p, which is slower, is not needed. Nor
is the division: where r is not 0, x is below 1/2, and r and r/rounded differ by less than 2 x r, half a unit
in the last place of the loss.
"""

from math import exp
from typing import Any

import numpy as np

from lucid.kernels import FAR
from lucid.protocol import LossSpec
from lucid_host import careful
from lucid_host.operands import Mask, Operands
from lucid_host.operations import decay, is_negative, is_one, positive_part
from lucid_host.walk import Factor, Vector

__all__ = ["LOSS_ROWS", "SLOPE_ROWS", "LogitBlock", "ProbabilityBlock"]

LOSS_ROWS = 3
SLOPE_ROWS = 6
"""The vectors of scratch that a block needs. The first of them takes the result."""


class ProbabilityBlock:
    """The loss from probabilities."""

    knows_hard = True

    def dtype(self, input: Vector, plain: bool) -> type[np.floating[Any]]:
        """In which each element is computed: in a wider one than its own, if there is one."""
        return np.float32 if input.dtype.itemsize == 2 else np.float64

    def special(self, spec: LossSpec, x: Vector, low: float, high: float) -> Mask | None:
        """Mark the elements for the definition, if any: out of [0, 1], or with an unbounded loss."""
        open_ended = spec.eps == 0
        if (low > 0 and high < 1) or (low >= 0 and high <= 1 and not open_ended):
            return None
        return ~((x > 0) & (x < 1)) if open_ended else ~((x >= 0) & (x <= 1))

    def losses(self, spec: LossSpec, at: Operands, s: list[Vector]) -> None:
        """Compute the unreduced losses, into scratch."""
        unbounded = at.low >= 1.01 * exp(-spec.largest_term) and at.high < 1 and spec.eps is None
        if at.hard:
            a = np.subtract(at.x, at.rest, out=s[0])  # x for the label 1, -(1 - x) for 0
            r = None if at.exact else lost(at.x, a, at.rest, s[1])
            loss = negative_log(spec, np.abs(a, out=a), r, unbounded)
            if not is_one(at.v):
                times(loss, chosen(at, s[1]))
            times(loss, at.w)
            return
        positive = negative_log(spec, at.x, None, unbounded, s[0])
        a = np.subtract(at.x, 1, out=s[1])
        r = None if at.exact else lost(at.x, a, 1, s[2])
        negative = negative_log(spec, np.negative(a, out=a), r, unbounded)
        weighted_sum(at, positive, negative, s[2])

    def slopes(self, spec: LossSpec, at: Operands, s: list[Vector], lowest: float) -> None:
        """Compute the derivatives by the input, into scratch; `lowest` bounds the divisors."""
        inside = at.low >= lowest and 1 - at.high >= lowest and not spec.eps
        if at.hard:
            self.hard_slopes(spec, at, s, lowest, inside)
            return
        q = np.subtract(1, at.x, out=s[1])
        if at.soft and inside and is_one(at.v) and not spec.label_smoothing:
            slope = np.divide(np.subtract(at.x, at.y, out=s[0]), at.x, out=s[0])
            times(np.divide(slope, q, out=slope), at.w)
            if at.careful:
                np.add(slope, careful.lost(careful.lost_by_slope, at, q, slope), out=slope)
            return
        p_low, q_low = np.maximum(at.x, lowest, out=s[2]), np.maximum(q, lowest, out=s[3])
        up, down = np.divide(at.rest, q_low, out=s[0]), np.divide(at.y, p_low, out=s[4])
        if spec.eps:
            np.multiply(down, at.x >= spec.eps, out=down)
            np.multiply(up, q >= spec.eps, out=up)
        soft = None
        if is_one(at.v) and not spec.label_smoothing:
            soft = (down != 0) & (up != 0)
        w_v = weighted_difference(at, up, down, s[5])
        if soft is None:
            if at.careful and spec.eps is None:
                np.add(up, careful.lost(careful.lost_by_difference, at, w_v, p_low, q_low, q), out=up)
            return
        # ((p - y) / p) / (1 - p) w, with what the bounds have added to p and 1 - p
        added = np.add(p_low - at.x, q_low - q, out=q)
        over = np.subtract(p_low, at.y, out=s[4])
        np.subtract(over, np.multiply(added, at.y, out=added), out=over)
        times(np.divide(np.divide(over, p_low, out=over), q_low, out=over), at.w)
        if at.careful:
            np.subtract(1, at.x, out=q)
            np.add(over, careful.lost(careful.lost_by_slope, at, q, over), out=over)
        np.copyto(up, over, where=soft)

    def hard_slopes(self, spec: LossSpec, at: Operands, s: list[Vector], lowest: float, inside: bool) -> None:
        """Compute the derivatives for labels that are 0 or 1."""
        a = np.subtract(at.x, at.rest, out=s[0])
        if inside and is_one(at.v):
            np.divide(np.negative(at.w), a, out=a)
            return
        np.abs(a, out=s[1])
        unclipped = s[1] >= spec.eps if spec.eps else None
        slope = np.subtract(np.add(at.rest, at.rest, out=s[0]), 1, out=s[0])
        np.divide(slope, np.maximum(s[1], lowest, out=s[1]), out=slope)
        if unclipped is not None:
            np.multiply(slope, unclipped, out=slope)
        if not is_one(at.v):
            times(slope, times(chosen(at, s[1]), at.w))
        else:
            times(slope, at.w)


class LogitBlock:
    """The loss from logits."""

    knows_hard = False

    def dtype(self, input: Vector, plain: bool) -> type[np.floating[Any]]:
        """In which each element is computed: without weights, float32 is good enough for itself."""
        return (
            np.float64
            if input.dtype.itemsize == 8 or (input.dtype.itemsize == 4 and not plain)
            else np.float32
        )

    def special(self, spec: LossSpec, x: Vector, low: float, high: float) -> Mask | None:
        """Mark the elements for the definition, if any: nan, and what is far out."""
        far = FAR if x.dtype == np.float64 else float(np.finfo(x.dtype).max)
        return None if low >= -far and high <= far else ~(np.abs(x) <= far)

    def losses(self, spec: LossSpec, at: Operands, s: list[Vector]) -> None:
        """Compute the unreduced losses, into scratch."""
        d = decay(at.x, s[0])
        np.log1p(d, out=d)
        above = positive_part(at.x, s[1])
        below = np.subtract(above, at.x, out=s[2])
        if is_one(at.v) and is_one(at.w) and not spec.label_smoothing:
            np.add(np.multiply(above, at.rest, out=above), np.multiply(below, at.y, out=below), out=above)
            np.add(above, d, out=d)
            return
        np.add(above, d, out=above)
        weighted_sum(at, np.add(below, d, out=d), above, below)

    def slopes(self, spec: LossSpec, at: Operands, s: list[Vector], lowest: float) -> None:
        """Compute the derivatives by the input, into scratch."""
        slopes_of_decay(at, decay(at.x, s[1]), s)


def smallest(dtype: np.dtype[Any]) -> float:
    """The number that stands for 0 in a logarithm, so small that the logarithm's bound of -100 holds."""
    return 2.0**-149 if dtype == np.float32 else 2.0**-1074


def lost(x: Vector, difference: Vector, subtrahend: Factor, out: Vector) -> Vector:
    """What the rounding of x - 1, or x - 0, has lost: exact, since the sum before it is."""
    return np.subtract(x, np.add(difference, subtrahend, out=out), out=out)


def negative_log(
    spec: LossSpec, a: Vector, r: Vector | None, unbounded: bool, out: Vector | None = None
) -> Vector:
    """Compute r - log(a), into a or elsewhere; bounded, unless each element is known to be."""
    out = a if out is None else out
    if not unbounded:
        a = np.maximum(a, smallest(a.dtype), out=out)
    np.log(a, out=out)
    np.negative(out, out=out) if r is None else np.subtract(r, out, out=out)
    return out if unbounded else np.minimum(out, spec.largest_term, out=out)


def chosen(at: Operands, out: Vector) -> Vector:
    """Give v for the label 1, and 1 for the label 0."""
    y = np.subtract(1, at.rest, out=out)
    values: Vector = np.add(np.multiply(y, at.v, out=out), at.rest, out=out)
    return values


def times(values: Vector, factor: Factor) -> Vector:
    """Multiply in place, unless by 1."""
    return values if is_one(factor) else np.multiply(values, factor, out=values)


def slopes_of_decay(at: Operands, d: Vector, s: list[Vector]) -> None:
    """Compute the derivatives by a logit, into scratch, from d = exp(-|z|), which is written over.

    sigmoid(z) is 1/(1 + d) or d/(1 + d), whichever side z is on.
    """
    below = is_negative(at.x, s[0])
    down = np.maximum(d, below, out=s[2])
    up = np.maximum(d, np.subtract(1, below, out=below), out=below)
    np.multiply(up, at.rest, out=up)
    np.multiply(down, at.y, out=down)
    if is_one(at.v):
        np.subtract(up, down, out=up)
    else:
        weighted_difference(at, up, down, s[3])
    np.divide(up, np.add(d, 1, out=d), out=up)
    if is_one(at.v):
        times(up, at.w)


def weighted_sum(at: Operands, positive: Vector, negative: Vector, spare: Vector) -> Vector:
    """Compute w v y P + w (1-y) N, into P."""
    w_v, lost = both(at, spare), None
    if at.careful:
        lost = careful.lost(careful.lost_by_sum, at, w_v, positive, negative)
    times(np.multiply(positive, at.y, out=positive), w_v)
    times(np.multiply(negative, at.rest, out=negative), at.w)
    if lost is not None:
        np.add(negative, lost, out=negative)
    return np.add(positive, negative, out=positive)


def weighted_difference(at: Operands, up: Vector, down: Vector, spare: Vector) -> Factor:
    """Compute w up - w v down, into up; return w v."""
    w_v = both(at, spare)
    times(down, w_v)
    np.subtract(times(up, at.w), down, out=up)
    return w_v


def both(at: Operands, out: Vector) -> Factor:
    """Compute w v."""
    if isinstance(at.w, float) and isinstance(at.v, float):
        return at.w * at.v
    return np.multiply(at.w, at.v, out=out)
