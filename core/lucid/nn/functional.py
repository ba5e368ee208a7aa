"""The losses and layers as functions."""

import warnings
from math import inf
from typing import Any, get_args

from lucid import _ops
from lucid._tensor import Tensor, record
from lucid.nn._evaluate import evaluate
from lucid.protocol import LossSpec, Reduction

__all__ = ["binary_cross_entropy", "binary_cross_entropy_with_logits", "linear", "relu", "sigmoid"]

REDUCTIONS = get_args(Reduction)


def binary_cross_entropy(
    input: Any,
    target: Any,
    weight: Any = None,
    reduction: str | None = "mean",
    eps: float | None = None,
    *,
    pos_weight: Any = None,
    label_smoothing: float = 0.0,
    ignore_index: float | None = None,
    validate: bool | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
) -> Any:
    """Compute the binary cross-entropy of probabilities; `lucid.nn.BCELoss` documents it in full.

    Parameters
    ----------
    input : Tensor, array, list or number
        Probabilities in [0, 1], floating, of any shape.
    target : Tensor, array, list or number
        Labels in [0, 1], in the input's shape, of any real dtype.
    weight, reduction, eps, pos_weight, label_smoothing, ignore_index, validate, size_average, reduce
        As for `lucid.nn.BCELoss`.

    Returns
    -------
    Tensor, array, list or float
        Of the input's kind and dtype: in the input's shape for "none", of no dimensions otherwise.

    Examples
    --------
    >>> import numpy as np
    >>> import lucid.nn.functional as F
    >>> F.binary_cross_entropy(np.array([0.9, 0.2]), np.array([1, 0]), reduction="none")
    array([0.10536052, 0.22314355])
    >>> round(F.binary_cross_entropy([0.9, 0.2], [1, 0]), 6)
    0.164252
    """
    spec = loss_spec(legacy_reduction(size_average, reduce, reduction), eps, label_smoothing, ignore_index)
    return evaluate("bce", spec, input, target, weight, pos_weight, validate)


def binary_cross_entropy_with_logits(
    input: Any,
    target: Any,
    weight: Any = None,
    reduction: str | None = "mean",
    *,
    pos_weight: Any = None,
    label_smoothing: float = 0.0,
    ignore_index: float | None = None,
    validate: bool | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
) -> Any:
    """Compute the binary cross-entropy of logits; `lucid.nn.BCEWithLogitsLoss` documents it in full.

    Parameters
    ----------
    input : Tensor, array, list or number
        Logits, floating, of any shape.
    target : Tensor, array, list or number
        Labels in [0, 1], in the input's shape, of any real dtype.
    weight, reduction, pos_weight, label_smoothing, ignore_index, validate, size_average, reduce
        As for `lucid.nn.BCEWithLogitsLoss`.

    Returns
    -------
    Tensor, array, list or float
        Of the input's kind and dtype: in the input's shape for "none", of no dimensions otherwise.

    Examples
    --------
    >>> import lucid.nn.functional as F
    >>> round(F.binary_cross_entropy_with_logits([2.0, -1.0], [1, 0]), 6)
    0.220095
    """
    spec = loss_spec(legacy_reduction(size_average, reduce, reduction), None, label_smoothing, ignore_index)
    return evaluate("bce_with_logits", spec, input, target, weight, pos_weight, validate)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute input @ weight.T + bias.

    Parameters
    ----------
    input : Tensor
        Shape (..., in_features).
    weight : Tensor
        Shape (out_features, in_features).
    bias : Tensor, optional
        Shape (out_features,).

    Returns
    -------
    Tensor
        Shape (..., out_features).

    Examples
    --------
    >>> import lucid, lucid.nn.functional as F
    >>> F.linear(lucid.ones(2), lucid.tensor([[1.0, 2.0]]))
    Tensor([3.], dtype=float32)
    """
    operands = [tensor_of(each) for each in (input, weight, bias) if each is not None]
    for operand in operands[1:]:
        input._operand(operand)  # says so if it lives elsewhere
    if input.ndim == 0 or input.shape[-1] != weight.shape[-1]:
        raise ValueError(
            f"linear takes an input of shape (..., {weight.shape[-1]}) for a weight of shape {weight.shape}, "
            f"not {input.shape}"
        )
    return record(_ops.linear, *operands)


def sigmoid(input: Tensor) -> Tensor:
    """Compute 1 / (1 + exp(-input)), elementwise.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        Of the same shape and dtype.

    Examples
    --------
    >>> import lucid, lucid.nn.functional as F
    >>> F.sigmoid(lucid.tensor([0.0]))
    Tensor([0.5], dtype=float32)
    """
    return tensor_of(input).sigmoid()


def relu(input: Tensor) -> Tensor:
    """Compute max(input, 0), elementwise.

    Parameters
    ----------
    input : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        Of the same shape and dtype.

    Examples
    --------
    >>> import lucid, lucid.nn.functional as F
    >>> F.relu(lucid.tensor([-1.0, 2.0]))
    Tensor([0., 2.], dtype=float32)
    """
    return tensor_of(input).relu()


def tensor_of(value: object) -> Tensor:
    """Accept a tensor, and say how to make one of anything else."""
    if isinstance(value, Tensor):
        return value
    raise TypeError(f"expected a lucid.Tensor, not {type(value).__name__}; lucid.tensor(...) makes one of it")


def legacy_reduction(size_average: bool | None, reduce: bool | None, reduction: str | None) -> str | None:
    """Translate PyTorch's two old arguments, which override `reduction`, and warn of them."""
    if size_average is None and reduce is None:
        return reduction
    translated = "none" if reduce is False else "sum" if size_average is False else "mean"
    warnings.warn(
        f"size_average and reduce are deprecated; use reduction={translated!r}",
        DeprecationWarning,
        stacklevel=3,
    )
    return translated


def loss_spec(
    reduction: str | None, eps: float | None, label_smoothing: float, ignore_index: float | None
) -> LossSpec:
    """Check what a loss was configured with; uncached, since torch.compile warns of a cache."""
    reduction = "none" if reduction is None else reduction
    if reduction not in REDUCTIONS:
        choices = ", ".join(map(repr, REDUCTIONS))
        raise ValueError(f"reduction is {reduction!r}; it must be one of {choices} or None")
    if eps is not None and not 0 <= eps < 0.5:
        raise ValueError(f"eps is {eps!r}; it must be None or lie in [0, 0.5)")
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"label_smoothing is {label_smoothing!r}; it must lie in [0, 1]")
    if ignore_index is not None and not -inf < ignore_index < inf:
        raise ValueError(f"ignore_index is {ignore_index!r}; it must be None or a finite number")
    return LossSpec(
        reduction,  # type: ignore[arg-type]  # it is one of them
        None if eps is None else float(eps),
        float(label_smoothing),
        None if ignore_index is None else float(ignore_index),
    )
