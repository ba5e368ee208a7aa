"""The kernels of `lucid.kernels`, block by block: for host memory, where what stays in the cache is fast.

For arrays that can be written to, and that mix dtypes and offer ``tolist`` as NumPy's and PyTorch's do: this
is more than the array-API standard promises.

Blocks depend on the shape alone, never on the strides, and their sums are added exactly, so that the same
elements give the same bits in every memory layout.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import fsum, isfinite, nan, prod
from typing import Any, Final, TypeAlias

from lucid.kernels import ArrayKernel, Residuals
from lucid.protocol import Gradients, LossSpec, Needs

__all__ = ["BLOCK", "TiledKernel", "added", "blocks", "exactly", "lost_by_product", "ratio"]

Array: TypeAlias = Any

BLOCK: Final = 1 << 15
"""Elements of a block: half a dozen temporaries of 256 KiB stay in a second-level cache."""

RUN: Final = 128
"""Elements that are added as the library likes; their sums are added exactly."""


def blocks(shape: tuple[int, ...], size: int) -> Iterator[tuple[Any, ...]]:
    """Cut an array into index tuples of at most `size` elements each, in C order.

    In a C-contiguous array each block is contiguous too.

    Examples
    --------
    >>> list(blocks((2, 5), 4))
    [(0, slice(0, 4, None)), (0, slice(4, 8, None)), (1, slice(0, 4, None)), (1, slice(4, 8, None))]
    """
    if prod(shape) <= size:
        yield (...,)
        return
    axis = next(n for n in range(len(shape)) if prod(shape[n + 1 :]) <= size)
    length, most = shape[axis], max(1, size // prod(shape[axis + 1 :]))
    step = -(-length // -(-length // most))  # as even as can be
    step = min(most, -(-step // 8) * 8)  # and whole vectors, for the processor
    for outer in product(*(range(n) for n in shape[:axis])):
        for start in range(0, length, step):
            yield (*outer, slice(start, start + step))


@dataclass(frozen=True, slots=True)
class TiledKernel:
    """A loss over blocks of arrays that can be written to.

    Parameters
    ----------
    kernel : ArrayKernel
        What is computed for each block.
    """

    kernel: ArrayKernel

    def forward(
        self,
        spec: LossSpec,
        input: Array,
        target: Array,
        weight: Array | None,
        pos_weight: Array | None,
        *,
        needs_grad: bool,
    ) -> tuple[Array, Residuals]:
        """Compute the loss; see `lucid.protocol.Kernel`."""
        xp, operands = self.kernel.xp, (input, target, weight, pos_weight)
        unreduced = xp.empty_like(input) if spec.reduction == "none" else None
        totals: list[float] = []
        denominators: list[float] = []
        for block in blocks(tuple(input.shape), BLOCK):
            at = self.kernel.prepare(spec, *(cut(each, block) for each in operands))
            losses = self.kernel.losses(spec, at)
            if unreduced is not None:
                unreduced[block] = losses
                continue
            totals += total(xp, losses)
            if spec.reduction != "sum":
                denominators += total(xp, self.kernel.denominators(spec, at))
        if unreduced is not None:
            return unreduced, Residuals(operands, None, None)
        loss, denominator = added(totals), None
        if spec.reduction != "sum":
            denominator = added(denominators)
            loss = ratio(totals, denominators)
        result = xp.astype(xp.asarray(loss, dtype=xp.float64), input.dtype)
        return result, Residuals(operands, denominator, loss)

    def backward(
        self, spec: LossSpec, residuals: Residuals, grad_output: Array | None, needs: Needs
    ) -> Gradients[Array]:
        """Compute the gradients; see `lucid.protocol.Kernel`."""
        xp, operands = self.kernel.xp, residuals.operands
        results = [xp.empty_like(operands[0]) if needed else None for needed in needs]
        divisor = nan if residuals.denominator == 0 else residuals.denominator or 1.0
        mean = residuals.loss if spec.reduction == "weighted_mean" else 0.0
        for block in blocks(tuple(operands[0].shape), BLOCK):
            at = self.kernel.prepare(spec, *(cut(each, block) for each in operands))
            upstream = xp.ones_like(at.x)
            if grad_output is not None:
                upstream = upstream * (cut(grad_output, block) if spec.reduction == "none" else grad_output)
            gradients = self.kernel.gradients(spec, at, upstream, divisor, mean, needs)
            for result, gradient in zip(results, gradients, strict=True):
                if result is not None:
                    result[block] = gradient
        return results[0], results[1], results[2]


def cut(array: Array | None, block: tuple[Any, ...]) -> Array | None:
    """Take a block of an operand, if there is one."""
    return None if array is None else array[block]


def total(xp: Any, values: Array) -> tuple[float, float]:
    """Add up a block: in C order, whatever its strides, and runs of 128 elements exactly; see `exactly`."""
    flat = xp.reshape(values, (-1,))
    whole = flat.shape[0] // RUN * RUN
    runs = xp.sum(xp.reshape(flat[:whole], (-1, RUN)), axis=1, dtype=xp.float64)
    return exactly([*runs.tolist(), *flat[whole:].tolist()])


def added(sums: list[float]) -> float:
    """Add without rounding errors; with infinities and nan among them as the hardware does."""
    try:
        return fsum(sums)
    except (OverflowError, ValueError):  # a sum beyond the largest number, or inf - inf
        return sum(sums)


def exactly(numbers: list[float]) -> tuple[float, float]:
    """Add, and return the sum and what its rounding has lost."""
    whole = added(numbers)
    return whole, added([*numbers, -whole]) if isfinite(whole) else 0.0


def ratio(numbers: list[float], divisors: list[float]) -> float:
    """Divide one sum by another, and round once; nan if there is nothing to divide by."""
    (above, above_rest), (below, below_rest) = exactly(numbers), exactly(divisors)
    if not below:
        return nan
    quotient = above / below
    product = quotient * below
    rest = added(
        [above, -product, -lost_by_product(quotient, below, product), above_rest, -quotient * below_rest]
    )
    corrected = quotient + rest / below
    return corrected if isfinite(corrected) else quotient


def lost_by_product(a: Any, b: Any, product: Any) -> Any:
    """Return what the rounding of a b has lost (Dekker, Numerische Mathematik 18, 1971, 224)."""
    (a_high, a_low), (b_high, b_low) = halves(a), halves(b)
    return ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


def halves(number: Any) -> tuple[Any, Any]:
    """Cut a float64 in two numbers of 26 digits."""
    cut = number * 134217729.0
    high = cut - (cut - number)
    return high, number - high
