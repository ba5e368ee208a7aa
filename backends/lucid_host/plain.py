"""The common case, without weights and options, in fewer steps: the same bits as `lucid_host.blocks` gives.

What is computed in a wider dtype is computed in small pieces, which stay in the nearest caches. A function
returns False if an element needs more care than it takes; what it has written then is to be written again.
"""

from math import exp
from typing import Any, Final

import numpy as np

from lucid.kernels import FAR
from lucid_host.sums import BITS, decay, hard_zeros, in_unit_interval, is_negative, positive_part
from lucid_host.walk import Array, Scratch, Vector

__all__ = ["logit_losses", "logit_slopes", "probability_losses", "probability_slopes"]

PIECE: Final = 1 << 17
"""Bytes of an operand's piece."""

LEAST: Final = {np.dtype(np.float32): 2.0**-29, np.dtype(np.float64): 4e-44}
"""From these on 1 - x is exact in float64, or its rounding is known, and the logarithm's bound is not met."""


def pieces(vector: Vector) -> list[slice]:
    """Cut a vector."""
    most = PIECE // vector.itemsize
    return [slice(start, start + most) for start in range(0, vector.size, most)]


def probability_losses(input: Array, target: Array, out: Array, scratch: Scratch) -> bool:
    """Compute the losses from probabilities, if the labels are 0 and 1."""
    if not is_simple(input, out) or (zeros := hard_zeros(target, scratch)) is None:
        return False
    x, losses = scratch.load("x", input, out.dtype), out.reshape(-1)
    compute = narrow if out.dtype == np.float32 else wide
    compute(x, zeros, losses, scratch)
    return bool(np.minimum.reduce(x) >= LEAST[out.dtype] and np.maximum.reduce(x) < 1)


def narrow(x: Vector, zeros: Vector, losses: Vector, scratch: Scratch) -> None:
    """Compute float32 losses in float64."""
    for piece in pieces(x):
        part = x[piece]
        t, rest = scratch.rows("piece", 2, part.size, np.float64)
        np.copyto(t, part)
        np.copyto(rest, zeros[piece])
        np.abs(np.subtract(t, rest, out=t), out=t)
        np.copyto(losses[piece], np.log(t, out=t), casting="same_kind")
    np.negative(losses, out=losses)


def wide(x: Vector, zeros: Vector, losses: Vector, scratch: Scratch) -> None:
    """Compute float64 losses; what the rounding of 1 - x has lost is added."""
    for piece in pieces(x):
        part, t = x[piece], losses[piece]
        lost, rest = scratch.rows("piece", 2, part.size, np.float64)
        np.copyto(rest, zeros[piece])
        np.subtract(part, rest, out=t)
        np.subtract(part, np.add(t, rest, out=lost), out=lost)
        np.log(np.abs(t, out=t), out=t)
        np.subtract(lost, t, out=t)


def logit_losses(input: Array, target: Array, out: Array, scratch: Scratch) -> bool:
    """Compute the losses from logits."""
    wider = target.dtype.kind == "f" and target.dtype.itemsize > out.dtype.itemsize
    if wider or not is_simple(input, out):
        return False
    z, y, losses = scratch.load("x", input, out.dtype), scratch.load("y", target, out.dtype), out.reshape(-1)
    for piece in pieces(z):
        part, label, loss = z[piece], y[piece], losses[piece]
        above, below, rest = scratch.rows("piece", 3, part.size, out.dtype)
        d = decay(part, loss, scratch.rows("wide piece", 1, part.size, np.float64)[0])
        np.log1p(d, out=d)
        positive_part(part, above)
        np.subtract(above, part, out=below)
        np.multiply(above, np.subtract(1, label, out=rest), out=above)
        np.add(above, np.multiply(below, label, out=below), out=above)
        np.add(above, d, out=d)
    # an infinite logit has an infinite loss here, or none; one that is far out an almost infinite or no loss
    least = exp(-FAR) if out.dtype == np.float64 else 0.0
    return in_unit_interval(y) and bool(
        least <= np.minimum.reduce(losses) <= np.maximum.reduce(losses) < np.inf
    )


def probability_slopes(
    x: Vector, y: Vector, rest: Vector, w: float, slopes: Vector, scratch: Scratch
) -> None:
    """Compute the derivatives by probabilities from the `rest` of hard labels; no divisor needs its bound."""
    for piece in pieces(x):
        part, other, slope = x[piece], rest[piece], slopes[piece]
        if slope.dtype == np.float64:
            np.divide(-w, np.subtract(part, other, out=slope), out=slope)
            continue
        t, wide_rest = scratch.rows("piece", 2, part.size, np.float64)
        np.copyto(t, part)
        np.copyto(wide_rest, other)
        np.divide(-w, np.subtract(t, wide_rest, out=t), out=t)
        np.copyto(slope, t, casting="same_kind")


def logit_slopes(z: Vector, y: Vector, d: Vector, w: float, slopes: Vector, scratch: Scratch) -> None:
    """Compute the derivatives by logits from d = exp(-|z|), which is written over.

    sigmoid(z) is 1/(1 + d) or d/(1 + d), whichever side z is on.
    """
    for piece in pieces(z):
        part, label, decayed, up = z[piece], y[piece], d[piece], slopes[piece]
        below, down, rest = scratch.rows("piece", 3, part.size, z.dtype)
        is_negative(part, below)
        np.maximum(decayed, below, out=down)
        np.maximum(decayed, np.subtract(1, below, out=below), out=up)
        np.multiply(up, np.subtract(1, label, out=rest), out=up)
        np.subtract(up, np.multiply(down, label, out=down), out=up)
        np.divide(up, np.add(decayed, 1, out=decayed), out=up)
        np.multiply(up, w, out=up)


def is_simple(input: Array, out: Array) -> bool:
    """Whether the result can be worked in."""
    dtype: np.dtype[Any] = out.dtype
    return dtype in BITS and input.dtype == dtype and out.flags.c_contiguous and out.flags.aligned
