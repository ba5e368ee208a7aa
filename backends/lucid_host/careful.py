"""What roundings lose where weights make many of them, and no wider dtype is left: float64 with weights.

Without this the losses of soft labels are up to 2.7 ULP off, and their gradients up to 3; with it, less than
2. Where numbers are too large to be cut in halves, or their products too small, nothing is known to be lost.
"""

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from lucid.tiling import lost_by_product
from lucid_host.operands import Operands
from lucid_host.walk import Factor, Vector

__all__ = ["lost", "lost_by_difference", "lost_by_slope", "lost_by_sum"]

PIECE: Final = 1 << 12
"""Elements that are looked at together; there are a dozen temporaries."""


def lost(function: Callable[..., Vector], at: Operands, *values: Factor) -> Vector:
    """Call one of the functions below, piece by piece."""
    result = np.empty(at.x.size)
    for start in range(0, at.x.size, PIECE):
        piece = slice(start, start + PIECE)
        x, y, rest, w, v, *others = (part(value, piece) for value in (*at[:5], *values))
        result[piece] = function(at._replace(x=x, y=y, rest=rest, w=w, v=v), *others)
    return result


def part(value: Factor, piece: slice) -> Any:
    """Take a piece, unless it is a number."""
    return value if isinstance(value, float) else value[piece]


def lost_by_sum(at: Operands, w_v: Factor, positive: Vector, negative: Vector) -> Vector:
    """Return what w v y P + w (1-y) N loses, if its products are rounded one after the other."""
    up, down = positive * at.y, negative * at.rest
    lost = w_v * lost_by_product(positive, at.y, up) + up * lost_by_product(at.w, at.v, w_v)
    lost += at.w * (lost_by_product(negative, at.rest, down) + ((1 - at.rest) - at.y) * negative)
    lost += lost_by_product(up, w_v, up * w_v) + lost_by_product(down, at.w, down * at.w)
    return plausible(lost, up * w_v, down * at.w)


def lost_by_slope(at: Operands, q: Vector, slope: Vector) -> Vector:
    """Return what w (x-y)/x/q loses: what is left of w (x-y) - slope x (1-x), divided."""
    over = at.x - at.y
    above = at.w * over
    half = slope * at.x
    below = half * q
    left = (above - below) + (lost_by_product(at.w, over, above) - lost_by_product(half, q, below))
    left += at.w * ((at.x - over) - at.y) - q * lost_by_product(slope, at.x, half) - half * ((1 - q) - at.x)
    return plausible(left / at.x / q, slope)


def lost_by_difference(at: Operands, w_v: Factor, p: Vector, q: Vector, rounded: Vector) -> Vector:
    """Return what w (1-y)/q - w v y/p loses; p and q are not 0, and `rounded` is what q is if that may be."""
    up, down = at.rest / q, at.y / p
    lost = lost_by_product(at.w, up, at.w * up) + at.w * lost_by_quotient(
        at.rest, q, up, (1 - rounded) - at.x
    )
    lost -= lost_by_product(w_v, down, w_v * down) + w_v * lost_by_quotient(at.y, p, down, 0.0)
    lost -= down * lost_by_product(at.w, at.v, w_v)
    return plausible(lost, at.w * up, w_v * down)


def lost_by_quotient(a: Vector, b: Vector, quotient: Vector, b_lost: Any) -> Vector:
    """Return what a/(b + b_lost) loses, rounded to `quotient`."""
    product = quotient * b
    left = (a - product) - lost_by_product(quotient, b, product) - quotient * b_lost
    return np.asarray(left / b)


def plausible(lost: Vector, *terms: Vector) -> Vector:
    """Put 0 for what is more than roundings of the terms can lose."""
    largest = np.abs(terms[0])
    for term in terms[1:]:
        largest = np.maximum(largest, np.abs(term))
    return np.where(np.abs(lost) <= 2.0**-50 * largest, lost, 0.0)
