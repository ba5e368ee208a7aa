"""The sum of a block's losses without the losses: one logarithm for eight elements.

A sum of logarithms is the logarithm of a product. Products are taken in float64, where an element adds an
error of at most 2**-51 to the sum: nothing, for a result in float32. What that is not good enough for, or
what needs the logarithm's bound, is left to `lucid_host.blocks`: the functions here return None then.
"""

from math import exp, log
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["logit_sum", "probability_sum"]

Vector: TypeAlias = NDArray[Any]

LEAST: Final = exp(-100)
"""Of a product of probabilities: if no product is below it, no logarithm needs its bound of -100."""

SMALL: Final = 1e-6
"""From this mean loss on, an error of 2**-51 an element is far below half a unit in float32's last place."""


def probability_sum(x: Vector, y: Vector, scratch: Vector) -> float | None:
    """Add the losses of probabilities with hard labels; None if that is not what they are.

    Parameters
    ----------
    x, y : ndarray, one-dimensional
        A block of probabilities, in float32, and of labels, of any real dtype.
    scratch : ndarray of float64, shape (at least 2, at least x.size)
        Memory to work in.
    """
    if not (x.min() >= 0 and x.max() <= 1 and y.min() >= 0 and y.max() <= 1):
        return None
    u, q = scratch[0, : x.size], scratch[1, : x.size]
    np.subtract(1, y, out=u, casting="unsafe")
    if y.dtype.kind == "f" and np.multiply(u, y, out=q).max() > 0:
        return None
    np.subtract(x, u, out=q)  # x for the label 1, -(1 - x) for 0
    products, tail = product_of_eights(q, u)
    np.abs(products, out=products)
    if min(products.min(initial=1.0), abs(tail)) < LEAST:
        return None
    total = -float(np.log(products, out=products).sum()) - log(abs(tail))
    return total if total >= SMALL * x.size else None


def logit_sum(z: Vector, y: Vector, scratch: Vector) -> float | None:
    """Add the losses of finite logits with labels in [0, 1]; None if that is not what they are.

    The loss is log(1 + exp(-|z|)) and, for what the label is short of the side that z is on, |z|.

    Parameters
    ----------
    z, y : ndarray, one-dimensional
        A block of logits, in float32, and of labels, of any real dtype.
    scratch : ndarray of float64, shape (at least 2, at least z.size)
        Memory to work in.
    """
    if not (z.min() > -np.inf and z.max() < np.inf and y.min() >= 0 and y.max() <= 1):
        return None
    d, u = scratch[0, : z.size], scratch[1, : z.size]
    np.subtract(y, np.greater(z, 0, out=d, casting="unsafe"), out=d, casting="unsafe")
    short = float(np.abs(np.multiply(d, z, out=d), out=d).sum())
    np.exp(np.negative(np.abs(z, out=d, casting="unsafe"), out=d), out=d)
    products, tail = product_of_eights(np.add(d, 1, out=d), u)
    total = short + float(np.log(products, out=products).sum()) + log(tail)
    return total if total >= SMALL * z.size else None


def product_of_eights(values: Vector, scratch: Vector) -> tuple[Vector, float]:
    """Multiply groups of eight elements, in scratch; and the fewer than eight that are left."""
    eighth = values.size // 8
    first, rest = values[: 4 * eighth], values[4 * eighth : 8 * eighth]
    tail = float(np.multiply.reduce(values[8 * eighth :]))
    for size in (4, 2, 1):
        products = np.multiply(first, rest, out=scratch[: size * eighth])
        first, rest = products[: size * eighth // 2], products[size * eighth // 2 :]
    return products, tail
