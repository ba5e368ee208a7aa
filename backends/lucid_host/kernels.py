"""The kernels that walk over the blocks of host memory; `lucid_host.blocks` is what is done with a block."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from typing import Any, Final, NamedTuple, TypeAlias

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import NDArray

from lucid.kernels import ArrayKernel, Logits, Probabilities, Residuals
from lucid.protocol import Gradients, LossSpec, Needs
from lucid.tiling import BLOCK, TiledKernel, added, blocks, total
from lucid_host.blocks import ROWS, Factor, LogitBlock, Operands, ProbabilityBlock, Vector

__all__ = ["BCE", "BCE_WITH_LOGITS", "HostKernel"]

Array: TypeAlias = NDArray[Any]
Problem: TypeAlias = tuple[Array, Array, Array | None, Array | None]


class Block(NamedTuple):
    """A block of a problem, ready for arithmetic; `kept` is 0 where an element is ignored."""

    place: tuple[Any, ...]
    at: Operands
    kept: Vector | None
    special: Vector | None


@dataclass(frozen=True, slots=True)
class HostKernel:
    """A loss on NumPy arrays of any layout; it keeps `lucid.protocol.Kernel`.

    Parameters
    ----------
    arithmetic : ProbabilityBlock or LogitBlock
        What is done with a block.
    definition : ArrayKernel
        What is done with its special elements, and for the gradients of target and weight.
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
            loss, denominator = self.reduced(spec, operands)
            result = np.asarray(loss).astype(input.dtype.newbyteorder("="))
            return result, Residuals(operands, denominator, loss)

    def unreduced(self, spec: LossSpec, operands: Problem) -> Array:
        """Compute the loss of each element."""
        input, scratch = operands[0], Scratch(operands[0])
        result = np.empty(input.shape, input.dtype.newbyteorder("="))
        for place in places(input):
            part, losses = result[place], self.losses(spec, operands, place, scratch)[0]
            np.copyto(part, losses.reshape(part.shape), casting="same_kind")
        return result

    def reduced(self, spec: LossSpec, operands: Problem) -> tuple[float, float | None]:
        """Compute the sum or mean, and what the sum was divided by."""
        (input, target, *weights), scratch = operands, Scratch(operands[0])
        plain = spec == LossSpec(spec.reduction) and all(each is None for each in weights)
        may_sum = plain and input.dtype.itemsize < 8
        totals: list[float] = []
        denominators: list[float] = []
        for place in places(input):
            found = self.quick_sum(input[place], target[place], scratch) if may_sum else None
            if found is None:
                losses, block = self.losses(spec, operands, place, scratch)
                found = total(np, losses), counted(spec, block, losses.size)
            totals.append(found[0])
            denominators.append(found[1])
        loss, denominator = added(totals), added(denominators)
        if spec.reduction == "sum":
            return loss, None
        return loss / denominator if denominator else nan, denominator

    def losses(
        self, spec: LossSpec, operands: Problem, place: tuple[Any, ...], scratch: "Scratch"
    ) -> tuple[Vector, Block]:
        """Compute the losses of a block, unrounded, in scratch."""
        block = self.block(spec, operands, place, scratch)
        losses = self.arithmetic.losses(spec, block.at, scratch.rows)
        if block.kept is not None:
            np.copyto(losses, 0, where=block.kept == 0)
        if block.special is not None:
            few = self.definition.prepare(spec, *pick(operands, block))
            losses[block.special] = self.definition.losses(spec, few)
        return losses, block

    def backward(
        self, spec: LossSpec, residuals: Residuals, grad_output: Array | None, needs: Needs
    ) -> Gradients[Array]:
        """Compute the gradients; see `lucid.protocol.Kernel`."""
        operands = residuals.operands
        dtype = operands[0].dtype.newbyteorder("=")
        by_input = by_target = by_weight = None
        with np.errstate(all="ignore"):
            if needs.input:
                by_input = np.empty(operands[0].shape, dtype)
                self.by_input(spec, residuals, grad_output, by_input)
            if needs.target or needs.weight:
                tiled = TiledKernel(self.definition)
                others = needs._replace(input=False)
                _, by_target, by_weight = tiled.backward(spec, residuals, grad_output, others)
        return by_input, native(by_target), native(by_weight)

    def by_input(
        self, spec: LossSpec, residuals: Residuals, grad_output: Array | None, gradient: Array
    ) -> None:
        """Write the gradient by the input."""
        operands, divisor = residuals.operands, residuals.denominator or 1.0
        if residuals.denominator == 0:
            divisor = nan
        scratch = Scratch(operands[0])
        upstream: Array | float = 1.0
        if grad_output is not None:
            upstream = grad_output if spec.reduction == "none" else float(grad_output)
        lowest = float(np.finfo(gradient.dtype).smallest_normal) if spec.eps is None else spec.eps
        needs = Needs(input=True, target=False, weight=False)
        for place in places(operands[0]):
            block = self.block(spec, operands, place, scratch)
            part = gradient[block.place]
            factor = upstream if isinstance(upstream, float) else upstream[block.place].ravel()
            w = block.at.w * factor / divisor
            slopes = self.arithmetic.slopes(spec, block.at._replace(w=w), scratch.rows, lowest)
            if block.kept is not None:
                np.copyto(slopes, 0, where=block.kept == 0)
            if block.special is not None:
                few = self.definition.prepare(spec, *pick(operands, block))
                chosen = np.broadcast_to(factor, slopes.shape)[block.special]
                found = self.definition.gradients(spec, few, chosen, divisor, 0.0, needs)[0]
                slopes[block.special] = found
            np.copyto(part, slopes.reshape(part.shape), casting="same_kind")

    def quick_sum(self, input: Array, target: Array, scratch: "Scratch") -> tuple[float, float] | None:
        """Add the losses of a block, if that can be done without them, and count them."""
        x, t = scratch.single(input), target
        if not (t.flags.c_contiguous and t.dtype.isnative):
            t = scratch.load(1, t)
        loss = self.arithmetic.sum(x, t.reshape(-1), scratch.doubles)
        return None if loss is None else (loss, float(x.size))

    def block(
        self,
        spec: LossSpec,
        operands: Problem,
        place: tuple[Any, ...],
        scratch: "Scratch",
    ) -> Block:
        """Cut a block out of the operands, in the wide dtype, with the ignored elements harmless."""
        input, target, weight, pos_weight = operands
        x, t = scratch.load(0, input[place]), scratch.load(1, target[place])
        kept = None
        if spec.ignore_index is not None:
            kept = (t != spec.ignore_index).astype(x.dtype)
            x, t = np.where(kept, x, 0.5), np.where(kept, t, 0)
        special = self.arithmetic.special(spec, x)
        in_range = t.min() >= 0 and t.max() <= 1
        if not in_range:
            outside = ~((t >= 0) & (t <= 1))
            special = outside if special is None else special | outside
        y, rest = t, np.subtract(1, t, out=scratch.vector(2, t.size))
        hard = in_range and not spec.label_smoothing and is_hard(t, rest, scratch.rows[0])
        if s := spec.label_smoothing:
            y = np.add(np.multiply(t, 1 - s), s / 2)
            np.add(np.multiply(rest, 1 - s, out=rest), s / 2, out=rest)
        w, v = scratch.factor(3, weight, place), scratch.factor(4, pos_weight, place)
        few = None if special is None else np.flatnonzero(special)
        return Block(place, Operands(x, y, rest, w, v, hard), kept, few)


class Scratch:
    """The memory of one call: room for the operands of a block, and for what is computed from them."""

    def __init__(self, input: Array) -> None:
        dtype = np.float32 if input.dtype == np.float16 else np.float64
        size = min(input.size, BLOCK)
        self.operands = np.empty((5, size), dtype)
        self.results = np.empty((ROWS, size), dtype)
        self.rows = self.results
        self.doubles = self.results if dtype == np.float64 else np.empty((2, size))

    def single(self, values: Array) -> Vector:
        """Give a part of the input as a vector of float32; without a copy if it is one."""
        if values.dtype == np.float32 and values.flags.c_contiguous and values.flags.aligned:
            return values.reshape(-1)
        return values.astype(np.float32).reshape(-1)

    def vector(self, row: int, size: int) -> Vector:
        """Give room for an operand; from then on the rows have the same size."""
        self.rows = self.results[:, :size]
        return self.operands[row, :size]

    def load(self, row: int, values: Array) -> Vector:
        """Give a part of an operand as a vector in the wide dtype; without a copy if it is one."""
        if values.dtype == self.operands.dtype and values.flags.c_contiguous and values.flags.aligned:
            self.rows = self.results[:, : values.size]
            return values.reshape(-1)
        vector = self.vector(row, values.size)
        np.copyto(vector.reshape(values.shape), values, casting="unsafe")
        return vector

    def factor(self, row: int, weight: Array | None, place: tuple[Any, ...]) -> Factor:
        """Give a part of a weight: as a number, if it is one broadcast number or there is none."""
        if weight is None:
            return 1.0
        part = weight[place]
        return self.load(row, part) if any(part.strides) else float(part.flat[0])


def places(input: Array) -> Iterator[tuple[Any, ...]]:
    """Cut an array into blocks."""
    return blocks(input.shape, BLOCK) if input.size else iter(())


def is_hard(t: Vector, rest: Vector, spare: Vector) -> bool:
    """Whether each label, known to lie in [0, 1], is 0 or 1."""
    return not np.multiply(t, rest, out=spare).any()


def counted(spec: LossSpec, block: Block, size: int) -> float:
    """Return what a block adds to a mean's divisor."""
    w: Factor = block.at.w if spec.reduction == "weighted_mean" else 1.0
    if block.kept is None:
        return w * size if isinstance(w, float) else total(np, w)
    return total(np, np.where(block.kept, w, 0.0))


def pick(operands: Problem, block: Block) -> Any:
    """Pick a block's special elements from the operands."""
    return (None if each is None else each[block.place].ravel()[block.special] for each in operands)


def native(array: Array | None) -> Array | None:
    """Give the result of a byte-swapped input this machine's byte order."""
    return None if array is None else array.astype(array.dtype.newbyteorder("="), copy=False)


BCE: Final = HostKernel(ProbabilityBlock(), ArrayKernel(xp, Probabilities()))
BCE_WITH_LOGITS: Final = HostKernel(LogitBlock(), ArrayKernel(xp, Logits()))
