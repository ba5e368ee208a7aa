"""The sum of many losses without the losses: quick, and then checked on a sample of them.

The groups of `lucid_host.sums` are rounded in float32 where the input is. Over many elements roundings
cancel, but not all: those of equal elements are equal. So their error is measured. For a sample of groups
every loss is computed as precisely as alone; the mean difference corrects the sum, and its standard error is
what the correction is worth. If that is more than a small part of the result's last place, there is no
result, and the caller computes all losses. So it is where losses are as small as roundings.

That is the difference estimator of survey sampling (Cochran, Sampling Techniques, 1977, chapter 7). The
places of the sample depend on the shape alone, so the same elements give the same bits.
"""

from collections.abc import Callable, Iterator, Sequence
from math import ceil, inf
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from lucid.protocol import LossSpec
from lucid.tiling import added
from lucid_host.sums import GROUP, ROWS, Groups, Values
from lucid_host.walk import Array, Place, Problem, Scratch, Vector, cut, each_block, folded, of_each, total

__all__ = ["may_be_quick", "quick_sum"]

LARGE: Final = 1 << 15
"""Elements from which on it pays."""

ALLOWED: Final = {2: 0.001, 4: 0.03, 8: 0.1}
"""The standard error of a result of so many bytes, in units of its last place; three times that stays within
what is allowed beside the result's own rounding."""

SAMPLE: Final = 1024
"""Groups in a first sample. A larger one follows if it promises to be large enough, and is not too large."""

LARGEST: Final = 1 << 19
"""Bytes of an operand's block. Small ones stay in a second-level cache, large ones keep threads from waiting
for the interpreter's lock, which each call of NumPy gives up and takes again."""

Grouping: TypeAlias = Callable[[Values, Array], Groups | None]


class Piece(NamedTuple):
    """A block's sum, of how many groups, and how it was calculated."""

    place: Place
    sum: float
    groups: int
    hard: bool


def may_be_quick(spec: LossSpec, input: Array) -> bool:
    """Whether it is worth trying: enough elements, all of which count, with the usual bound."""
    usual = spec.eps is None and spec.ignore_index is None and spec.reduction != "weighted_mean"
    return usual and input.size >= LARGE


def quick_sum(
    groups: Grouping,
    losses: Callable[[Problem], Vector],
    visit: Callable[[Place, Scratch, Vector | None], None],
    spec: LossSpec,
    operands: Problem,
) -> float | None:
    """Add the losses; None if they can't be added quickly and accurately.

    Parameters
    ----------
    groups : callable
        Adds the losses of a block in groups, or returns None; one of `lucid_host.sums`.
    losses : callable
        Computes the losses of a block, precisely.
    visit : callable
        Is called once for each block, which is in the cache then, with the scratch and what is known of
        1 - y (see `Groups.rest`).
    spec : LossSpec
        What is computed.
    operands : tuple
        The input, the target, the weight and the pos_weight.
    """
    input, allowance = operands[0], ALLOWED[min(8, operands[0].dtype.itemsize)]
    wide = any(each.dtype.kind == "f" and each.dtype.itemsize >= 8 for each in operands[:2])
    dtype = np.dtype(np.float64 if wide else np.float32)  # which rounds neither input nor target

    def add(place: Place, scratch: Scratch) -> Piece:
        parts = cut(operands, place)
        found = grouped(groups, spec, parts, dtype, scratch)
        covered = 0 if found is None else found.sums.size * GROUP
        sums = [] if found is None else [total(found.sums)]
        whole = covered == parts[0].size
        if not whole:
            sums.append(total(losses(tail(parts, covered))))
        rest = None if found is None else found.rest
        visit(place, scratch, rest if whole else None)
        return Piece(place, added(sums), covered // GROUP, rest is not None)

    pieces = each_block(add, input, LARGEST // dtype.itemsize)
    rough, number = added([piece.sum for piece in pieces]), sum(piece.groups for piece in pieces)
    if not number:
        return rough

    def corrected(size: int) -> tuple[float, float]:
        """Return the sum, and how many groups have to be in the sample for it to be good enough."""
        differences, quick = [], [piece for piece in pieces if piece.groups]
        for hard in (True, False):  # what is calculated differently is sampled on its own
            chosen = [piece.place for piece in quick if piece.hard == hard]
            share = ceil(size * len(chosen) / len(quick))
            for some in samples(operands, chosen, share) if chosen else ():
                found = grouped(groups, spec, some, dtype, Scratch(), hard)
                assert found is not None
                differences.append(folded(np.add, losses(some), 3) - found.sums)
        each = np.concatenate(differences)
        result = rough + float(each.mean()) * number
        unit = abs(result) * float(np.finfo(input.dtype).eps) / 2  # at most one in the last place
        allowed = allowance * unit
        return result, (float(each.std()) * number / allowed) ** 2 if allowed else inf

    result, needed = corrected(SAMPLE)
    if needed <= SAMPLE:
        return result
    if not needed < number / 8:
        return None
    size = ceil(1.25 * needed)
    result, needed = corrected(size)
    return result if needed <= size else None


def grouped(
    groups: Grouping,
    spec: LossSpec,
    parts: Problem,
    dtype: np.dtype[Any],
    scratch: Scratch,
    hard: bool | None = None,
) -> Groups | None:
    """Add the losses of a block in groups, but for the fewer than eight at its end, and widen the sums."""
    size = parts[0].size // GROUP * GROUP
    x, y = scratch.load("x", parts[0], dtype)[:size], scratch.load("y", parts[1], dtype)[:size]
    w, v = (scratch.factor(name, each, dtype) for name, each in zip("wv", parts[2:], strict=True))
    w, v = (each if isinstance(each, float) else each[:size] for each in (w, v))
    at = Values(x, y, w, v, spec.label_smoothing, hard)
    rows = ROWS if at.smoothing or not at.unit else ROWS - 1  # one is for what smoothing and weights make
    found = groups(at, scratch.rows("groups", rows, size, dtype))
    if found is None:
        return None
    sums: Vector = scratch.rows("sums", 1, found.sums.size, np.float64)[0]
    np.copyto(sums, found.sums)
    return found._replace(sums=sums)


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
    size = parts[0].size // GROUP * GROUP
    start = number * 0x9E3779B1 % 2**32 * max(0, size // GROUP - width) >> 32
    return of_each(lambda part: part.reshape(-1)[:size].reshape(GROUP, -1)[:, start : start + width], parts)


def tail(parts: Problem, covered: int) -> Problem:
    """Take the elements that are in no group."""
    return of_each(lambda part: part.reshape(-1)[covered:], parts)
