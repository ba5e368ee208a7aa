"""The kernels in C++ (`src/`), block by block: an extension that is built where there is a compiler for it.

What it leaves to the kernels on NumPy's operations: inputs of other dtypes than float16, float32 and float64,
and the gradients of target and weight.
"""

from dataclasses import dataclass
from math import nan
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np

from lucid.kernels import Residuals
from lucid.protocol import Gradients, LossSpec, Needs
from lucid.tiling import added, ratio
from lucid_host._native import copy, run
from lucid_host.kernels import HostKernel, native
from lucid_host.walk import Array, Place, Problem, Scratch, cut, each_block

__all__ = ["NativeKernel"]

BYTES: Final = 1 << 19
"""Of an operand of a block: it is copied if it isn't contiguous."""

KINDS: Final = frozenset("?bBhHiIlLqQefd")
"""The dtypes that the extension reads, as NumPy's letters."""

BY_INPUT: Final = Needs(input=True, target=False, weight=False)

Found: TypeAlias = tuple[float, float, float, float]
"""A sum of losses, what its rounding has lost, and the same of what was counted."""


class Slope(NamedTuple):
    """Where the derivatives go, and what they are multiplied and divided by."""

    gradient: Array | None
    upstream: Array | float
    divisor: float


NOWHERE: Final = Slope(None, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class NativeKernel:
    """A loss on NumPy arrays of any layout; it keeps `lucid.protocol.Kernel`.

    Parameters
    ----------
    logits : bool
        Which of the two losses.
    general : HostKernel
        What is left to.
    """

    logits: bool
    general: HostKernel

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
        if input.dtype.char not in "efd":
            return self.general.forward(spec, *operands, needs_grad=needs_grad)
        reduction, size = spec.reduction, float(input.size)
        if reduction == "none":
            losses = np.empty(input.shape, native(input))
            self.walk(spec, operands, losses, NOWHERE)
            return losses, Residuals(operands, None, None)
        slope = NOWHERE
        if needs_grad and reduction != "weighted_mean" and spec.ignore_index is None:
            gradient = np.empty(input.shape, native(input))
            slope = Slope(gradient, 1.0, size if reduction == "mean" else 1.0)
        found = self.walk(spec, operands, None, slope)
        losses_, counts = ([part for each in found for part in each[n : n + 2]] for n in (0, 2))
        denominator = None
        if reduction == "sum":
            loss = added(losses_)
        elif reduction == "mean" and spec.ignore_index is None:
            denominator = size
            simple = len(found) == 1 and size and input.dtype.char != "d"  # the rest is rounded away
            loss = losses_[0] / size if simple else ratio(losses_, [size])
        else:
            denominator, loss = added(counts), ratio(losses_, counts)
        ready = None if slope.gradient is None else [slope.gradient]
        return rounded(loss, native(input)), Residuals(operands, denominator, loss, ready)

    def value_and_grad(
        self, spec: LossSpec, input: Array, target: Array, weight: Array | None, pos_weight: Array | None
    ) -> tuple[Array, Array]:
        """Compute the loss and its gradient by the input; see `lucid.protocol.Kernel`."""
        loss, residuals = self.forward(spec, input, target, weight, pos_weight, needs_grad=True)
        gradient = self.backward(spec, residuals, None, BY_INPUT)[0]
        assert gradient is not None
        return loss, gradient

    def backward(
        self, spec: LossSpec, residuals: Residuals, grad_output: Array | None, needs: Needs
    ) -> Gradients[Array]:
        """Compute the gradients; see `lucid.protocol.Kernel`."""
        operands, input = residuals.operands, residuals.operands[0]
        if input.dtype.char not in "efd":
            return self.general.backward(spec, residuals, grad_output, needs)
        by_input = by_target = by_weight = None
        if needs.input:
            reduced = spec.reduction != "none"
            upstream: Array | float = 1.0
            if grad_output is not None:
                upstream = float(grad_output) if reduced else grad_output
            by_input = residuals.given_away() if isinstance(upstream, float) and upstream == 1.0 else None
            if by_input is None:
                by_input = np.empty(input.shape, native(input))
                divisor = nan if residuals.denominator == 0 else residuals.denominator or 1.0
                self.walk(spec, operands, None, Slope(by_input, upstream, divisor), add=False)
        if needs.target or needs.weight:
            others = needs._replace(input=False)
            _, by_target, by_weight = self.general.backward(spec, residuals, grad_output, others)
        return by_input, by_target, by_weight

    def walk(
        self, spec: LossSpec, operands: Problem, losses: Array | None, slope: Slope, add: bool = True
    ) -> list[Found]:
        """Compute what is asked for, block by block; add up the losses unless they are wanted one by one."""
        input, by_weight, eps = operands[0], spec.reduction == "weighted_mean", spec.eps
        lowest = SMALLEST[input.dtype.char] if eps is None else eps
        numbers = (slope.divisor, spec.largest_term, eps or 0.0, lowest, spec.label_smoothing)
        ignored = None if spec.ignore_index is None else float(spec.ignore_index)
        fixed = (ignored, by_weight, numbers)
        add = add and losses is None
        size = BYTES // input.dtype.itemsize

        def compute(place: Place, scratch: Scratch) -> Found:
            x, y, w, v = cut(operands, place)
            upstream = slope.upstream if isinstance(slope.upstream, float) else slope.upstream[place]
            part = None if losses is None else losses[place]
            gradient = None if slope.gradient is None else slope.gradient[place]
            found = run(self.logits, add, x, y, w, v, upstream, part, gradient, *fixed)
            if found is None:
                x, y, w, v, upstream = made_ready((x, y, w, v, upstream), scratch)
                found = run(self.logits, add, x, y, w, v, upstream, part, gradient, *fixed)
            assert found is not None
            return found

        if input.size <= size:  # as most are
            found = run(self.logits, add, *operands, slope.upstream, losses, slope.gradient, *fixed)
            if found is not None:
                return [found]
        return each_block(compute, input, size) or [(0.0, 0.0, 0.0, 0.0)]


def made_ready(operands: Any, scratch: Scratch) -> Any:
    """Copy what is not contiguous, or of a dtype that the extension doesn't read."""
    names = ("x", "y", "w", "v", "upstream")
    return [
        each if each is None or isinstance(each, float) else contiguous(name, each, scratch)
        for name, each in zip(names, operands, strict=True)
    ]


def contiguous(name: str, values: Array, scratch: Scratch) -> Array | float:
    """Give an array in the order of its elements; as a number, if it is one broadcast number."""
    if name not in {"x", "y"} and not any(values.strides):
        return float(values.flat[0])
    dtype = values.dtype.newbyteorder("=") if values.dtype.char in KINDS else np.dtype(np.float64)
    room: Array = scratch.rows(name, 1, values.size, dtype)[0]
    if not copy(values, room):
        np.copyto(room.reshape(values.shape), values, casting="unsafe")
    return room


def rounded(loss: float, dtype: np.dtype[Any]) -> Array:
    """Round a loss; to inf, if it is too large."""
    if dtype.char == "d" or abs(loss) < 60000.0:
        return np.array(loss, dtype)
    with np.errstate(all="ignore"):
        return np.array(loss).astype(dtype)


SMALLEST: Final = {char: float(np.finfo(char).smallest_normal) for char in "efd"}
"""The normal numbers that bound a divisor."""
