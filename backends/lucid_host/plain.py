"""The common case, without weights and options, in fewer steps: the same bits as `lucid_host.blocks` gives.

What is computed in a wider dtype is computed in small pieces, which stay in the nearest caches. A function
returns False if an element needs more care than it takes; what it has written then is to be written again.
"""

from typing import Any, Final

import numpy as np

from lucid_host.sums import BITS, decay, hard_zeros, in_unit_interval, positive_part
from lucid_host.walk import Array, Scratch, Vector

__all__ = ["PIECE", "logit_losses", "pieces", "probability_losses"]

PIECE: Final = 1 << 14
"""Elements of a piece."""

LEAST: Final = {np.dtype(np.float32): 2.0**-29, np.dtype(np.float64): 4e-44}
"""From these on 1 - x is exact in float64, or its rounding is known, and the logarithm's bound is not met."""


def pieces(size: int) -> list[slice]:
    """Cut a vector."""
    return [slice(start, start + PIECE) for start in range(0, size, PIECE)]


def probability_losses(input: Array, target: Array, out: Array, scratch: Scratch) -> bool:
    """Compute the losses from probabilities, if the labels are 0 and 1."""
    if not is_simple(input, out) or (zeros := hard_zeros(target, scratch)) is None:
        return False
    x, losses = scratch.load("x", input, out.dtype), out.reshape(-1)
    compute = narrow if out.dtype == np.float32 else wide
    compute(x, zeros.reshape(-1), losses, scratch)
    return bool(np.minimum.reduce(x) >= LEAST[out.dtype] and np.maximum.reduce(x) < 1)


def narrow(x: Vector, zeros: Vector, losses: Vector, scratch: Scratch) -> None:
    """Compute float32 losses in float64."""
    for piece in pieces(x.size):
        part = x[piece]
        t, rest = scratch.rows("piece", 2, part.size, np.float64)
        np.copyto(t, part)
        np.copyto(rest, zeros[piece])
        np.abs(np.subtract(t, rest, out=t), out=t)
        np.copyto(losses[piece], np.log(t, out=t), casting="same_kind")
    np.negative(losses, out=losses)


def wide(x: Vector, zeros: Vector, losses: Vector, scratch: Scratch) -> None:
    """Compute float64 losses; what the rounding of 1 - x has lost is added."""
    for piece in pieces(x.size):
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
    for piece in pieces(z.size):
        part, label, loss = z[piece], y[piece], losses[piece]
        above, below, rest = scratch.rows("piece", 3, part.size, out.dtype)
        d = decay(part, loss, scratch.rows("wide piece", 1, part.size, np.float64)[0])
        np.log1p(d, out=d)
        positive_part(part, above)
        np.subtract(above, part, out=below)
        np.multiply(above, np.subtract(1, label, out=rest), out=above)
        np.add(above, np.multiply(below, label, out=below), out=above)
        np.add(above, d, out=d)
    # an infinite logit has an infinite loss here, or none
    return in_unit_interval(y) and bool(np.maximum.reduce(losses) < np.inf)


def is_simple(input: Array, out: Array) -> bool:
    """Whether the result can be worked in."""
    dtype: np.dtype[Any] = out.dtype
    return dtype in BITS and input.dtype == dtype and out.flags.c_contiguous and out.flags.aligned
