"""Activations as modules."""

from lucid._tensor import Tensor
from lucid.nn import functional
from lucid.nn.module import Module

__all__ = ["ReLU", "Sigmoid"]


class Sigmoid(Module):
    """1 / (1 + exp(-x)), elementwise.

    Examples
    --------
    >>> import lucid, lucid.nn as nn
    >>> nn.Sigmoid()(lucid.tensor([0.0]))
    Tensor([0.5], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to a tensor of any shape."""
        return functional.sigmoid(input)


class ReLU(Module):
    """max(x, 0), elementwise; its derivative at 0 is taken as 0.

    Examples
    --------
    >>> import lucid, lucid.nn as nn
    >>> nn.ReLU()(lucid.tensor([-1.0, 2.0]))
    Tensor([0., 2.], dtype=float32)
    """

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to a tensor of any shape."""
        return functional.relu(input)
