"""The kernels that walk over the blocks of host memory; `lucid_host.blocks` is what is done with a block."""

from dataclasses import dataclass
from math import nan
from typing import Any, Final, NamedTuple, TypeAlias

import array_api_compat.numpy as xp
import numpy as np

from lucid.kernels import ArrayKernel, Logits, Probabilities, Residuals
from lucid.protocol import Gradients, LossSpec, Needs
from lucid.tiling import BLOCK, TiledKernel, added, lost_by_product, ratio
from lucid_host.blocks import LOSS_ROWS, SLOPE_ROWS, LogitBlock, ProbabilityBlock
from lucid_host.operands import Block, is_plain, prepared
from lucid_host.walk import Array, Place, Problem, Scratch, Vector, cut, each_block, total

__all__ = ["BCE", "BCE_WITH_LOGITS", "HostKernel"]

BY_INPUT: Final = Needs(input=True, target=False, weight=False)


Exactly: TypeAlias = tuple[float, float]
"""A number and what its rounding has lost."""


class Slope(NamedTuple):
    """What the derivatives are multiplied by, and where they go."""

    upstream: Array | float
    divisor: float
    gradient: Array


@dataclass(frozen=True, slots=True)
class HostKernel:
    """A loss on NumPy arrays of any layout; it keeps `lucid.protocol.Kernel`.

    Parameters
    ----------
    arithmetic : ProbabilityBlock or LogitBlock
        What is done with a block.
    definition : ArrayKernel
        What is done with special elements, and for the gradients of target and weight.
    """

    arithmetic: ProbabilityBlock | LogitBlock
    definition: ArrayKernel

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
        operands = (input, target, weight, pos_weight)
        with np.errstate(all="ignore"):
            if spec.reduction == "none":
                return self.unreduced(spec, operands), Residuals(operands, None, None)
            slope = None
            if needs_grad and spec.reduction != "weighted_mean" and spec.ignore_index is None:
                divisor = 1.0 if spec.reduction == "sum" else float(input.size)
                slope = Slope(1.0, divisor, np.empty(input.shape, native(input)))
            loss, denominator = self.reduced(spec, operands, slope)
            ready = None if slope is None else [slope.gradient]
            return np.asarray(loss).astype(native(input)), Residuals(operands, denominator, loss, ready)

    def value_and_grad(
        self, spec: LossSpec, input: Array, target: Array, weight: Array | None, pos_weight: Array | None
    ) -> tuple[Array, Array]:
        """Compute the loss and its gradient by the input; see `lucid.protocol.Kernel`."""
        loss, residuals = self.forward(spec, input, target, weight, pos_weight, needs_grad=True)
        gradient = self.backward(spec, residuals, None, BY_INPUT)[0]
        assert gradient is not None
        return loss, gradient

    def unreduced(self, spec: LossSpec, operands: Problem) -> Array:
        """Compute the loss of each element."""
        result = np.empty(operands[0].shape, native(operands[0]))

        def compute(place: Place, scratch: Scratch) -> None:
            parts = cut(operands, place)
            block = prepared(self.arithmetic, spec, parts, scratch, self.dtype(spec, parts))
            self.losses(spec, parts, block, scratch, result[place])

        each_block(compute, result, BLOCK)
        return result

    def reduced(self, spec: LossSpec, operands: Problem, slope: Slope | None) -> tuple[float, float | None]:
        """Compute the loss and its denominator, unrounded, and write the derivatives if they are wanted."""
        input = operands[0]
        dtype = np.float32 if input.dtype == np.float16 and not is_tiny(spec.eps) else np.float64

        def add(place: Place, scratch: Scratch) -> tuple[Exactly, Exactly]:
            parts = cut(operands, place)
            block = prepared(self.arithmetic, spec, parts, scratch, dtype)
            count, sum_ = counted(spec, block), total(self.losses(spec, parts, block, scratch))
            if slope is not None:
                self.by_input(spec, parts, cut_slope(slope, place), scratch)
            return sum_, count

        pieces = each_block(add, input, BLOCK)
        losses, counts = ([part for piece in pieces for part in piece[n]] for n in (0, 1))
        if spec.reduction == "sum":
            return added(losses), None
        return ratio(losses, counts), added(counts)

    def losses(
        self, spec: LossSpec, parts: Problem, block: Block, scratch: Scratch, result: Array | None = None
    ) -> Vector:
        """Compute the losses of a block, unrounded, in scratch; and round them to where they belong."""
        at = block.at
        rows = result_rows(scratch, LOSS_ROWS, at.x.size, at.x.dtype, result)
        self.arithmetic.losses(spec, at, rows)
        losses = rows[0]
        if block.kept is not None:
            np.copyto(losses, 0, where=block.kept == 0)
        if block.special is not None:
            few = self.definition.prepare(spec, *pick(parts, block.special))
            losses[block.special] = self.definition.losses(spec, few)
        store(losses, result)
        return losses

    def backward(
        self, spec: LossSpec, residuals: Residuals, grad_output: Array | None, needs: Needs
    ) -> Gradients[Array]:
        """Compute the gradients; see `lucid.protocol.Kernel`."""
        input = residuals.operands[0]
        by_input = by_target = by_weight = None
        ones = grad_output is None or (spec.reduction != "none" and float(grad_output) == 1)
        if needs == BY_INPUT and ones and (found := residuals.given_away()) is not None:
            return found, None, None
        divisor = nan if residuals.denominator == 0 else residuals.denominator or 1.0
        with np.errstate(all="ignore"):
            if needs.input:
                upstream: Array | float = 1.0
                if grad_output is not None:
                    upstream = grad_output if spec.reduction == "none" else float(grad_output)
                by_input = np.empty(input.shape, native(input))
                slope = Slope(upstream, divisor, by_input)

                def compute(place: Place, scratch: Scratch) -> None:
                    parts = cut(residuals.operands, place)
                    self.by_input(spec, parts, cut_slope(slope, place), scratch)

                each_block(compute, input, BLOCK)
            if needs.target or needs.weight:
                tiled = TiledKernel(self.definition)
                others = needs._replace(input=False)
                gradients = tiled.backward(spec, residuals, grad_output, others)
                by_target, by_weight = (
                    None if each is None else each.astype(native(input), copy=False) for each in gradients[1:]
                )
        return by_input, by_target, by_weight

    def by_input(self, spec: LossSpec, parts: Problem, slope: Slope, scratch: Scratch) -> None:
        """Write the derivatives of a block by the input."""
        block = prepared(self.arithmetic, spec, parts, scratch, self.dtype(spec, parts))
        self.write_slopes(spec, parts, block, slope, scratch)

    def write_slopes(
        self, spec: LossSpec, parts: Problem, block: Block, slope: Slope, scratch: Scratch
    ) -> None:
        """Write the derivatives of a block."""
        at, (upstream, divisor, gradient) = block.at, slope
        lowest = float(np.finfo(gradient.dtype).smallest_normal) if spec.eps is None else spec.eps
        factor = upstream if isinstance(upstream, float) else upstream.ravel()
        rows = result_rows(scratch, SLOPE_ROWS, at.x.size, at.x.dtype, gradient)
        self.arithmetic.slopes(spec, at._replace(w=at.w * factor / divisor), rows, lowest)
        slopes = rows[0]
        if block.kept is not None:
            np.copyto(slopes, 0, where=block.kept == 0)
        if block.special is not None:
            few = self.definition.prepare(spec, *pick(parts, block.special))
            chosen = np.broadcast_to(factor, slopes.shape)[block.special]
            found = self.definition.gradients(spec, few, chosen, divisor, 0.0, BY_INPUT)[0]
            slopes[block.special] = found
        store(slopes, gradient)

    def dtype(self, spec: LossSpec, parts: Problem) -> type[np.floating[Any]]:
        """The dtype that each element is computed in."""
        return np.float64 if is_tiny(spec.eps) else self.arithmetic.dtype(parts[0], is_plain(spec, parts))


def is_tiny(eps: float | None) -> bool:
    """Whether float32 can't hold it as a normal number."""
    return eps is not None and 0 < eps < 2.0**-126


def native(input: Array) -> np.dtype[Any]:
    """The dtype of a result: the input's, in this machine's byte order."""
    dtype = input.dtype
    return dtype if dtype.isnative else dtype.newbyteorder("=")


def result_rows(
    scratch: Scratch, number: int, size: int, dtype: np.dtype[Any], result: Array | None
) -> list[Vector]:
    """Give vectors to work in. The first of them is the result's own memory, if it can be worked in."""
    if result is not None and result.dtype == dtype and result.flags.c_contiguous and result.flags.aligned:
        return [result.reshape(-1), *scratch.rows("results", number - 1, size, dtype)]
    return scratch.rows("results", number, size, dtype)


def store(values: Vector, part: Array | None) -> None:
    """Round a block's values to where they belong, unless they are there."""
    if part is not None and not np.may_share_memory(values, part):
        np.copyto(part, values.reshape(part.shape), casting="same_kind")


def cut_slope(slope: Slope, place: Any) -> Slope:
    """Take a part of what derivatives need."""
    upstream, divisor, gradient = slope
    return Slope(upstream if isinstance(upstream, float) else upstream[place], divisor, gradient[place])


def counted(spec: LossSpec, block: Block) -> Exactly:
    """Return what a block adds to a mean's divisor."""
    size, w = block.at.x.size, block.at.w if spec.reduction == "weighted_mean" else 1.0
    if block.kept is not None:
        return total(np.where(block.kept, w, 0.0))
    if not isinstance(w, float):
        return total(w.astype(np.float64))
    return w * size, lost_by_product(w, float(size), w * size)


def pick(parts: Problem, special: Vector) -> Any:
    """Pick a block's special elements from the operands."""
    return (None if each is None else each.ravel()[special] for each in parts)


BCE: Final = HostKernel(ProbabilityBlock(), ArrayKernel(xp, Probabilities()))
BCE_WITH_LOGITS: Final = HostKernel(LogitBlock(), ArrayKernel(xp, Logits()))
