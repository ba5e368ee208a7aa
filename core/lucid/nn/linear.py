"""The fully connected layer."""

from typing import Any

from lucid._creation import drawn
from lucid._tensor import Tensor
from lucid.nn import functional
from lucid.nn.module import Module, Parameter

__all__ = ["Linear"]


class Linear(Module):
    """x @ weight.T + bias.

    Parameters
    ----------
    in_features, out_features : int
        The length of the input's last axis, and of the result's.
    bias : bool
        Whether there is one.
    dtype : str or the library's own dtype
        Of the parameters.
    backend : str, optional
        Where they are created; see `lucid.get_backend`.

    Attributes
    ----------
    weight : Parameter
        Shape (out_features, in_features); at first uniform in ±1/sqrt(in_features), from the seed of
        `lucid.manual_seed`.
    bias : Parameter or None
        Shape (out_features,); likewise.

    Examples
    --------
    >>> import lucid, lucid.nn as nn
    >>> layer = nn.Linear(2, 3)
    >>> layer(lucid.ones(5, 2)).shape
    (5, 3)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        *,
        dtype: Any = "float32",
        backend: str | None = None,
    ) -> None:
        self.in_features: int = in_features
        self.out_features: int = out_features
        bound = in_features**-0.5 if in_features else 0.0

        def initial(*shape: int) -> Parameter:
            numbers = drawn(lambda generator: generator.uniform(-bound, bound, shape))
            return Parameter(numbers, dtype=dtype, backend=backend)

        self.weight: Parameter = initial(out_features, in_features)
        self.bias: Parameter | None = initial(out_features) if bias else None

    def forward(self, input: Tensor) -> Tensor:
        """Apply it to a tensor of shape (..., in_features); the result has shape (..., out_features)."""
        return functional.linear(input, self.weight, self.bias)

    def extra_repr(self) -> str:
        """Return the sizes."""
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"
        )
