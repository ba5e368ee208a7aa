"""The sum of many losses without the losses: quick, and then checked on a sample of them.

The groups of `lucid_host.sums` are rounded in float32 where the input is. Over many elements roundings
cancel, but not all: those of equal elements are equal. So their error is measured. For a sample of groups
every loss is computed as precisely as alone; the mean difference corrects the sum, and its standard error is
what the correction is worth. If that is more than a small part of the result's last place, there is no
result, and the caller computes all losses. So it is where losses are as small as roundings.

That is the difference estimator of survey sampling (Cochran, Sampling Techniques, 1977, chapter 7). The
places of the sample depend on the shape alone, so the same elements give the same bits. What is too rare to
be in a sample can hold no more than a bounded share of the roundings: see `unseen`.
"""

from collections.abc import Callable, Iterator, Sequence
from math import ceil, inf
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from lucid.protocol import LossSpec
from lucid.tiling import added
from lucid_host.sums import GROUP, ROWS, Groups, Values, hard_rest
from lucid_host.walk import (
    Array,
    Place,
    Problem,
    Scratch,
    Vector,
    cut,
    each_block,
    folded,
    most,
    of_each,
    total,
)

__all__ = ["may_be_quick", "quick_sum"]

LARGE: Final = 1 << 16
"""Elements from which on it pays."""

ALLOWED: Final = {2: 0.001, 4: 0.03, 8: 0.1}
"""The standard error of a result of so many bytes, in units of its last place; three times that stays within
what is allowed beside the result's own rounding."""

UNSEEN: Final = 0.1
"""What groups that are too rare for a sample may add to a result, in units of its last place."""

SAMPLE: Final = 512
"""Groups in a first sample. A larger one follows if it promises to be large enough, and is not too large."""


class Arithmetic(Protocol):
    """What the two losses differ in."""

    @property
    def knows_hard(self) -> bool:
        """Whether labels that are 0 or 1 are a simpler case."""

    @property
    def groups(self) -> Callable[[Values, list[Vector]], Groups | None]:
        """Adds the losses of a block in groups, or returns None; one of `lucid_host.sums`."""


class Piece(NamedTuple):
    """A block's sum, of how many groups, how it was calculated, and the most that may be in one group.

    `largest` is the magnitude of the largest group's sum, `weight` that of the largest weight.
    """

    place: Place
    sum: float
    groups: int
    hard: bool
    largest: float
    weight: float


def may_be_quick(spec: LossSpec, input: Array) -> bool:
    """Whether it is worth trying: enough elements, all of which count, with the usual bound."""
    usual = spec.eps is None and spec.ignore_index is None and spec.reduction != "weighted_mean"
    return usual and input.size >= LARGE


def quick_sum(
    arithmetic: Arithmetic,
    losses: Callable[[Problem], Vector],
    visit: Callable[[Place, Scratch, Vector | None], None] | None,
    spec: LossSpec,
    operands: Problem,
) -> float | None:
    """Add the losses; None if they can't be added quickly and accurately.

    Parameters
    ----------
    arithmetic : Arithmetic
        What the loss is.
    losses : callable
        Computes the losses of a block, precisely.
    visit : callable, optional
        Is called once for each block, which is in the cache then, with the scratch and what was kept for a
        gradient (see `Groups.kept`).
    spec : LossSpec
        What is computed.
    operands : tuple
        The input, the target, the weight and the pos_weight.
    """
    input, target = operands[:2]
    wide = any(each.dtype.kind == "f" and each.dtype.itemsize >= 8 for each in (input, target))
    dtype = np.dtype(np.float64 if wide else np.float32)  # which rounds neither input nor target

    def add(place: Place, scratch: Scratch) -> Piece:
        parts = cut(operands, place)
        found = grouped(arithmetic, spec, parts, dtype, scratch, keep=visit is not None)
        covered = 0 if found is None else found.sums.size * GROUP
        whole = covered == parts[0].size
        sum_ = 0.0 if whole else total(losses(tail(parts, covered)))[0]
        if visit is not None:
            visit(place, scratch, found.kept if found is not None and whole else None)
        if found is None:
            return Piece(place, sum_, 0, False, 0.0, 0.0)
        sum_ += (
            total(found.sums)[0] if wide else float(np.add.reduce(found.sums, dtype=np.float64))
        ) * found.unit
        return Piece(place, sum_, covered // GROUP, found.hard, found.largest, heaviest(parts))

    pieces = each_block(add, input, most(input.size, dtype.itemsize))
    rough, number = added([piece.sum for piece in pieces]), sum(piece.groups for piece in pieces)
    if not number:
        return rough
    quick = [piece for piece in pieces if piece.groups]

    def corrected(size: int) -> tuple[float, float]:
        """Return the sum, and how many groups have to be in the sample for it to be good enough."""
        differences, scratch = [], Scratch()
        for hard in (True, False):  # what is calculated differently is sampled on its own
            chosen = [piece.place for piece in quick if piece.hard == hard]
            share = ceil(size * len(chosen) / len(quick))
            for some in samples(operands, chosen, share) if chosen else ():
                found = grouped(arithmetic, spec, some, dtype, scratch, hard)
                assert found is not None
                differences.append(folded(np.add, losses(some), 3) - found.sums * np.float64(found.unit))
        each = np.concatenate(differences)
        mean = float(np.add.reduce(each)) / each.size
        result = rough + mean * number
        place = abs(result) * float(np.finfo(input.dtype).eps) / 2  # at most one unit in the last place
        if not place:
            return result, inf
        variance = float(np.vdot(each - mean, each - mean)) / each.size
        allowed = ALLOWED[min(8, input.dtype.itemsize)] * place / number
        return result, max(variance / allowed**2, unseen(quick, dtype) * number / (UNSEEN * place))

    result, needed = corrected(SAMPLE)
    if needed <= SAMPLE:
        return result
    if not needed < number / 8:
        return None
    size = ceil(1.25 * needed)
    result, needed = corrected(size)
    return result if needed <= size else None


def unseen(pieces: Sequence[Piece], dtype: np.dtype[Any]) -> float:
    """Bound what rare groups' roundings add to the mean of all groups, times the size of the sample.

    Of what is in no sample of n, there is less than 3/n with a confidence of 95 % (the rule of three). A
    group's rounding is about 8 roundings of numbers near 1, and 2 of the sum's.
    """
    rounding = float(np.finfo(dtype).eps) / 2
    return 3 * rounding * max(8 * piece.weight + 2 * piece.largest for piece in pieces)


def heaviest(parts: Problem) -> float:
    """Return the largest magnitude of a weight, or of its product with a pos_weight."""
    bounds = [
        1.0
        if each is None
        else max(float(np.maximum.reduce(each, None)), -float(np.minimum.reduce(each, None)))
        for each in parts[2:]
    ]
    return bounds[0] * max(1.0, bounds[1])


def grouped(
    arithmetic: Arithmetic,
    spec: LossSpec,
    parts: Problem,
    dtype: np.dtype[Any],
    scratch: Scratch,
    hard: bool | None = None,
    *,
    keep: bool = False,
) -> Groups | None:
    """Add the losses of a block in groups, but for the fewer than eight at its end.

    `hard` says whether to take the labels for 0 and 1; None to look.
    """
    input, target, weight, pos_weight = parts
    size = input.size // GROUP * GROUP
    rest = None
    if hard is not False and arithmetic.knows_hard and not spec.label_smoothing:
        rest = hard_rest(target, scratch, "rest", dtype)
    x = scratch.load("x", input, dtype)[:size]
    y = x[:0] if rest is not None else scratch.load("y", target, dtype)[:size]
    w, v = scratch.factor("w", weight, dtype), scratch.factor("v", pos_weight, dtype)
    w, v = (each if isinstance(each, float) else each[:size] for each in (w, v))
    at = Values(x, y, None if rest is None else rest[:size], w, v, spec.label_smoothing, keep)
    rows = ROWS + (at.smoothing > 0 or not at.unit) + keep
    return arithmetic.groups(at, scratch.rows("groups", rows, size, dtype)) if size else None


def samples(operands: Problem, chosen: Sequence[Place], number: int) -> Iterator[Problem]:
    """Take so many groups out of as many blocks as need be, each time from another place in the block."""
    blocks = min(len(chosen), max(8, number // 1024))
    width = ceil(number / blocks)
    together = max(1, LARGE // (width * GROUP))
    for start in range(0, blocks, together):
        taken = [
            columns(cut(operands, chosen[n * len(chosen) // blocks]), n, width)
            for n in range(start, min(start + together, blocks))
        ]
        yield of_each(lambda *parts: np.concatenate(parts, axis=1), *taken)


def columns(parts: Problem, number: int, width: int) -> Problem:
    """Take some columns of a block as eight rows; from places scattered by multiplication (Knuth)."""
    rows = parts[0].size // GROUP
    start = number * 0x9E3779B1 % 2**32 * max(0, rows - width) >> 32
    places = np.arange(GROUP)[:, None] * rows + np.arange(start, min(start + width, rows))

    def take(part: Array) -> Array:
        return part[np.unravel_index(places, part.shape)]

    return of_each(take, parts)


def tail(parts: Problem, covered: int) -> Problem:
    """Take the elements that are in no group."""
    return of_each(lambda part: part.reshape(-1)[covered:], parts)
