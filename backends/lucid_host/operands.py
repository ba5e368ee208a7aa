"""The operands of a block, ready for arithmetic: contiguous, in one dtype, their range known."""

from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lucid.protocol import LossSpec
from lucid_host.operations import BITS, hard_rest, in_unit_interval, is_one
from lucid_host.walk import Array, Factor, Problem, Scratch, Vector

__all__ = ["Arithmetic", "Block", "Operands", "is_plain", "prepared"]

Mask: TypeAlias = NDArray[np.bool_]
Float: TypeAlias = type[np.floating[Any]]


class Operands(NamedTuple):
    """A block of a problem; `y` and `rest` are the smoothed target and 1 minus it, `y` only if needed.

    All inputs lie between `low` and `high`. `hard` says that all labels are 0 or 1, `soft` that none is,
    `exact` that 1 - x is exact for each input; `careful`, that there are weights and no wider dtype.
    """

    x: Vector
    y: Vector
    rest: Vector
    w: Factor
    v: Factor
    hard: bool
    soft: bool
    low: float
    high: float
    exact: bool
    careful: bool


class Block(NamedTuple):
    """A block's operands; `kept` is 0 where one is ignored, `special` lists those for the definition."""

    at: Operands
    kept: Vector | None
    special: Vector | None


class Arithmetic(Protocol):
    """What preparing the operands depends on."""

    @property
    def knows_hard(self) -> bool:
        """Whether hard labels are a simpler case."""

    def special(self, spec: LossSpec, x: Vector, low: float, high: float) -> Mask | None:
        """Mark the elements for the definition, if any."""


def is_plain(spec: LossSpec, parts: Problem) -> bool:
    """Whether there are neither weights nor smoothed labels."""
    return parts[2] is None and parts[3] is None and not spec.label_smoothing


def prepared(arithmetic: Arithmetic, spec: LossSpec, parts: Problem, scratch: Scratch, dtype: Float) -> Block:
    """Bring a block into a dtype, with the ignored elements harmless."""
    input, target, weight, pos_weight = parts
    w, v = scratch.factor("w", weight, dtype), scratch.factor("v", pos_weight, dtype)
    rest = kept = special = None
    weighted = not (is_one(w) and is_one(v))
    careful = weighted and input.dtype.itemsize == 8 and not spec.label_smoothing  # which rounds the labels
    if spec.ignore_index is None and not spec.label_smoothing and arithmetic.knows_hard:
        rest = hard_rest(target, scratch, "wide rest", dtype)
    if rest is not None:
        x = scratch.load("wide x", input, dtype)
        low, high = bounds(x if input.dtype not in BITS else input)
        special = arithmetic.special(spec, x, low, high)
        exact = is_exact(low, input.dtype, dtype)
        at = Operands(x, x[:0], rest, w, v, True, False, low, high, exact, careful)
        return Block(at, None, None if special is None else np.flatnonzero(special))
    load = scratch.floating if spec.ignore_index is None else scratch.load
    x, t = load("x", input, dtype), load("y", target, dtype)
    if spec.ignore_index is not None:
        kept = (t != spec.ignore_index).astype(dtype)
        x, t = np.where(kept, x, dtype(0.5)), np.where(kept, t, dtype(0))
    low, high = bounds(x)
    special = arithmetic.special(spec, x, low, high)
    if not labels_are_valid(t):
        outside = ~((t >= 0) & (t <= 1))
        special = outside if special is None else special | outside
    soft = bool(np.minimum.reduce(t) > 0 and np.maximum.reduce(t) < 1)
    x, y = scratch.load("wide x", x, dtype), scratch.load("wide y", t, dtype)
    rest = np.subtract(1, y, out=scratch.rows("wide rest", 1, t.size, dtype)[0])
    if s := spec.label_smoothing:
        y = np.add(np.multiply(y, 1 - s), s / 2)
        np.add(np.multiply(rest, 1 - s, out=rest), s / 2, out=rest)
    few = None if special is None else np.flatnonzero(special)
    exact = is_exact(low, input.dtype, dtype)
    return Block(Operands(x, y, rest, w, v, False, soft, low, high, exact, careful), kept, few)


def bounds(x: Array) -> tuple[float, float]:
    """Find the least and the most; nan if any is."""
    return float(np.minimum.reduce(x, None)), float(np.maximum.reduce(x, None))


def is_exact(low: float, own: np.dtype[Any], wide: Float) -> bool:
    """Whether 1 - x is exact: it needs digits from that of 1 to the last one of the smallest x."""
    return low >= float(np.finfo(wide).eps) / float(np.finfo(own).eps)


def labels_are_valid(t: Array) -> bool:
    """Whether all labels are in [0, 1]."""
    if t.dtype in BITS and in_unit_interval(t):
        return True
    return bool(np.minimum.reduce(t) >= 0 and np.maximum.reduce(t) <= 1)
