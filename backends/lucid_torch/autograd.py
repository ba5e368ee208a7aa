"""A kernel as a `torch.autograd.Function`: a tensor goes in, a tensor comes out, `.backward()` works."""

from typing import Any

import torch

from lucid.protocol import Differentiable, Kernel, LossSpec, Needs

__all__ = ["differentiable"]


class Loss(torch.autograd.Function):
    """Forward and backward of the contract, as autograd calls them."""

    @staticmethod
    def forward(
        ctx: Any,
        kernel: Kernel[torch.Tensor],
        spec: LossSpec,
        input: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None,
        pos_weight: torch.Tensor | None,
    ) -> torch.Tensor:
        """Compute the loss and remember the rest."""
        loss, residuals = kernel.forward(
            spec, input, target, weight, pos_weight, needs_grad=any(ctx.needs_input_grad)
        )
        ctx.save_for_backward(input, target, weight, pos_weight)
        ctx.kernel, ctx.spec, ctx.residuals = kernel, spec, residuals
        return loss

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_output: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Compute the gradients that autograd asks for."""
        _ = ctx.saved_tensors  # raises if an operand was written to since
        needs = Needs(*ctx.needs_input_grad[2:5])
        gradients = ctx.kernel.backward(ctx.spec, ctx.residuals, grad_output, needs)
        return (None, None, *gradients, None)


def differentiable(kernel: Kernel[torch.Tensor]) -> Differentiable[torch.Tensor]:
    """Hook a kernel into torch.autograd."""

    def loss(
        spec: LossSpec,
        input: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None,
        pos_weight: torch.Tensor | None,
    ) -> torch.Tensor:
        result: torch.Tensor = Loss.apply(kernel, spec, input, target, weight, pos_weight)
        return result

    return loss
