"""The losses as `torch.autograd.Function`s: tensors go in, a tensor comes out, `.backward()` works.

* `HostLoss` has little overhead and computes on NumPy's views; nothing that transforms tensors sees into it.
* `TransformedLoss` is made of PyTorch's operations, for all other tensors and devices, and for `torch.func`.

Gradients that are to be differentiated again are computed in PyTorch's operations by both.
"""

from typing import Any, Final, TypeAlias

import torch
from numpy.typing import NDArray
from torch._C._functorch import is_legacy_batchedtensor as is_batched  # by torch.autograd.grad

from lucid.kernels import Residuals
from lucid.protocol import Kernel, LossSpec, Needs
from lucid_torch.formulas import DefinedKernel
from lucid_torch.placement import ordinary, tensor_of, viewed, views

__all__ = ["HostLoss", "TransformedLoss"]

Gradients: TypeAlias = tuple[torch.Tensor | None, ...]

BY_INPUT: Final = Needs(input=True, target=False, weight=False)


class HostLoss(torch.autograd.Function):
    """Forward and backward of a kernel of `lucid_host`."""

    @staticmethod
    def forward(
        ctx: Any,
        host: Kernel[NDArray[Any]],
        definition: DefinedKernel,
        spec: LossSpec,
        input: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None,
        pos_weight: torch.Tensor | None,
    ) -> torch.Tensor:
        """Compute the loss and remember the rest."""
        operands = (input, target, weight, pos_weight)
        loss, residuals = host.forward(spec, *views(operands), needs_grad=ctx.needs_input_grad[3])
        ctx.save_for_backward(*operands)  # where hooks see them
        ctx.call = host, definition, spec, residuals[1:]
        return tensor_of(loss, input)

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> Gradients:
        """Compute the gradients that autograd asks for."""
        operands = ctx.saved_tensors  # raises if one was written to since
        host, definition, spec, rest = ctx.call
        needs = Needs(*ctx.needs_input_grad[3:6])
        if torch.is_grad_enabled() or not ordinary() or is_batched(grad_output):
            return (None, None, None, *definition.backward(spec, operands, grad_output, needs), None)
        if needs == BY_INPUT and grad_output.ndim == 0 and grad_output.item() == 1:
            ready = Residuals(operands, *rest).given_away()  # here already: the kernel would need views
            if ready is not None:
                return None, None, None, tensor_of(ready, operands[0]), None, None, None
        residuals = Residuals(views(operands), *rest)
        gradients = host.backward(spec, residuals, viewed(grad_output), needs)
        found = [None if each is None else tensor_of(each, operands[0]) for each in gradients]
        return (None, None, None, *found, None)


class TransformedLoss(torch.autograd.Function):
    """Forward and backward of a `DefinedKernel`, for every mode of differentiation, and in batches."""

    generate_vmap_rule = True

    @staticmethod
    def forward(
        kernel: DefinedKernel,
        spec: LossSpec,
        input: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None,
        pos_weight: torch.Tensor | None,
    ) -> torch.Tensor:
        """Compute the loss."""
        return kernel.forward(spec, input, target, weight, pos_weight, needs_grad=True)[0]

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        """Remember the operands for both modes."""
        ctx.kernel, ctx.spec, *operands = inputs
        ctx.save_for_backward(*operands)
        ctx.save_for_forward(*operands)

    @staticmethod
    def backward(ctx: Any, grad_output: torch.Tensor) -> Gradients:
        """Compute the gradients that autograd asks for."""
        needs = Needs(*ctx.needs_input_grad[2:5])
        gradients = ctx.kernel.backward(ctx.spec, ctx.saved_tensors, grad_output, needs)
        return (None, None, *gradients, None)

    @staticmethod
    def jvp(ctx: Any, *tangents: torch.Tensor | None) -> torch.Tensor:
        """Compute the derivative of the loss along the tangents of its arguments."""
        needs = Needs(*(each is not None for each in tangents[2:5]))
        gradients = ctx.kernel.backward(ctx.spec, ctx.saved_tensors, None, needs)
        along = [g * t for g, t in zip(gradients, tangents[2:5], strict=True) if g is not None]
        return sum(along) if ctx.spec.reduction == "none" else sum(each.sum() for each in along)
