"""The losses as modules."""

from typing import Any

from lucid.nn._evaluate import evaluate, value_and_grad
from lucid.nn.functional import legacy_reduction, loss_spec
from lucid.nn.module import Module

__all__ = ["BCELoss", "BCEWithLogitsLoss"]

DEFAULTS: dict[str, Any] = {
    "weight": None,
    "reduction": "mean",
    "eps": None,
    "pos_weight": None,
    "label_smoothing": 0.0,
    "ignore_index": None,
    "validate": None,
}


class BCELoss(Module):
    r"""Binary cross-entropy between probabilities and labels.

    For a probability :math:`p`, a label :math:`y` smoothed to :math:`y(1-s) + s/2`, a weight :math:`w` and a
    pos_weight :math:`v`, the loss of an element is

    .. math:: l = -w \, (v \, y \, L(p) + (1 - y) \, L(1 - p)), \qquad L(t) = \max(\log t, -100)

    which is the negative log-likelihood of a Bernoulli variable [1]_, with its logarithms bounded as PyTorch
    bounds them. A term whose coefficient is 0 is 0. The gradient is that of the unbounded loss, with the
    divisors :math:`p` and :math:`1-p` at least the smallest normal number of the dtype: always finite.

    Parameters
    ----------
    weight : Tensor, array, list or number, optional
        Multiplies the loss of each element; broadcast to the input's shape. May be negative.
    reduction : {"mean", "sum", "none", "weighted_mean"} or None
        "mean" divides the sum by the number of elements that are not ignored, "weighted_mean" by the sum of
        their weights; "none" and None return the loss of each element. The mean of nothing is nan.
    eps : float, optional
        Clip the probabilities to [eps, 1 - eps], with a gradient of 0 where the clip acts; 0 for no bound on
        the logarithms at all. By default (None) they are bounded at -100.
    pos_weight : Tensor, array, list or number, optional
        Multiplies the loss of the label 1; broadcast to the input's shape. No gradient flows to it.
    label_smoothing : float
        s in [0, 1]: 0 leaves the labels as they are, 1 makes them all 1/2.
    ignore_index : float, optional
        Elements with this label have loss 0 and gradient 0, and do not count in a mean.
    validate : bool, optional
        Whether a probability or label outside [0, 1] is a ValueError. By default it is where values can be
        read without stalling a device; elsewhere, and with False, such an element's loss is nan.
    size_average, reduce : bool, optional
        Deprecated; as in PyTorch, they override `reduction`.

    Raises
    ------
    ValueError
        The shapes differ, a weight does not fit, or a value or parameter is out of range.
    TypeError
        The input is not floating, or an operand is nothing that a backend takes.
    lucid.errors.MixedBackendError
        The operands are arrays of two libraries.

    See Also
    --------
    BCEWithLogitsLoss : the same from logits, exact in the tails.

    Notes
    -----
    Input: floating, of any shape. Target: the same shape, any real dtype. Result: the input's kind (lucid
    tensor, array of any supported library, or Python numbers) and dtype, rounded once. nan in is nan out.

    References
    ----------
    .. [1] C. M. Bishop, Pattern Recognition and Machine Learning, Springer 2006, equation 4.90.

    Examples
    --------
    >>> import lucid, lucid.nn as nn
    >>> probs = lucid.tensor([0.9, 0.2, 0.8, 0.4], dtype="float64", requires_grad=True)
    >>> targets = lucid.tensor([1, 0, 1, 0])
    >>> loss = nn.BCELoss()(probs, targets)
    >>> print(f"{loss.item():.6f}")
    0.265618
    >>> loss.backward()
    >>> print(probs.grad.numpy().round(6))
    [-0.277778  0.3125   -0.3125    0.416667]

    Labels may be weighted, smoothed or ignored:

    >>> nn.BCELoss(pos_weight=2.0, ignore_index=-1, reduction="sum")
    BCELoss(reduction='sum', pos_weight=2.0, ignore_index=-1)
    """

    def __init__(
        self,
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
    ) -> None:
        self.weight = weight
        self.reduction: str | None = legacy_reduction(size_average, reduce, reduction)
        self.eps = eps
        self.pos_weight = pos_weight
        self.label_smoothing = label_smoothing
        self.ignore_index = ignore_index
        self.validate = validate
        loss_spec(self.reduction, eps, label_smoothing, ignore_index)

    def forward(self, input: Any, target: Any) -> Any:
        """Compute the loss.

        Parameters
        ----------
        input : Tensor, array, list or number
            Probabilities in [0, 1], floating, of any shape.
        target : Tensor, array, list or number
            Labels in [0, 1], in the input's shape, of any real dtype.

        Returns
        -------
        Tensor, array, list or float
            Of the input's kind and dtype: in the input's shape for "none", of no dimensions otherwise.
        """
        spec = loss_spec(self.reduction, self.eps, self.label_smoothing, self.ignore_index)
        return evaluate("bce", spec, input, target, self.weight, self.pos_weight, self.validate)

    def value_and_grad(self, input: Any, target: Any) -> tuple[Any, Any]:
        """Compute the loss and its gradient with respect to the input, on any kind of array, in one call.

        Parameters
        ----------
        input, target
            As for `forward`.

        Returns
        -------
        loss, grad
            The loss, and the gradient of it (of its sum, for "none") in the input's shape and dtype. Both of
            the input's kind, and on no autograd graph.

        Examples
        --------
        >>> import numpy as np
        >>> import lucid.nn as nn
        >>> loss, grad = nn.BCELoss(reduction="sum").value_and_grad(np.array([0.5, 0.8]), np.array([0, 1]))
        >>> print(loss.round(6), grad)
        0.916291 [ 2.   -1.25]
        """
        spec = loss_spec(self.reduction, self.eps, self.label_smoothing, self.ignore_index)
        return value_and_grad("bce", spec, input, target, self.weight, self.pos_weight, self.validate)

    def extra_repr(self) -> str:
        """Return what is not default."""
        return changed(self)


class BCEWithLogitsLoss(Module):
    r"""Binary cross-entropy between logits and labels: `BCELoss` of their sigmoid, exact in the tails.

    With :math:`\mathrm{softplus}(t) = \max(t, 0) + \log(1 + e^{-|t|})`, a logit :math:`z` and the other
    names of `BCELoss`, the loss of an element and its derivative are

    .. math::

        l = w \, (v \, y \, \mathrm{softplus}(-z) + (1 - y) \, \mathrm{softplus}(z)), \qquad
        \frac{dl}{dz} = w \, ((1 - y) \, \sigma(z) - v \, y \, \sigma(-z))

    which subtract no large numbers anywhere. For z = ±inf, 0 times infinity is 0.

    Parameters
    ----------
    weight, reduction, pos_weight, label_smoothing, ignore_index, validate, size_average, reduce
        As for `BCELoss`.

    Raises
    ------
    ValueError, TypeError, lucid.errors.MixedBackendError
        As for `BCELoss`; logits may have any value.

    References
    ----------
    .. [1] optax, ``sigmoid_binary_cross_entropy``, uses the same form.

    Examples
    --------
    >>> import lucid, lucid.nn as nn
    >>> logits = lucid.tensor([2.0, -1.0, -200.0], dtype="float64", requires_grad=True)
    >>> loss = nn.BCEWithLogitsLoss(reduction="none")(logits, lucid.tensor([1, 0, 0]))
    >>> print(loss.numpy())
    [1.26928011e-01 3.13261688e-01 1.38389653e-87]
    """

    def __init__(
        self,
        weight: Any = None,
        reduction: str | None = "mean",
        *,
        pos_weight: Any = None,
        label_smoothing: float = 0.0,
        ignore_index: float | None = None,
        validate: bool | None = None,
        size_average: bool | None = None,
        reduce: bool | None = None,
    ) -> None:
        self.weight = weight
        self.reduction: str | None = legacy_reduction(size_average, reduce, reduction)
        self.pos_weight = pos_weight
        self.label_smoothing = label_smoothing
        self.ignore_index = ignore_index
        self.validate = validate
        loss_spec(self.reduction, None, label_smoothing, ignore_index)

    def forward(self, input: Any, target: Any) -> Any:
        """Compute the loss.

        Parameters
        ----------
        input : Tensor, array, list or number
            Logits, floating, of any shape.
        target : Tensor, array, list or number
            Labels in [0, 1], in the input's shape, of any real dtype.

        Returns
        -------
        Tensor, array, list or float
            Of the input's kind and dtype: in the input's shape for "none", of no dimensions otherwise.
        """
        spec = loss_spec(self.reduction, None, self.label_smoothing, self.ignore_index)
        return evaluate("bce_with_logits", spec, input, target, self.weight, self.pos_weight, self.validate)

    def value_and_grad(self, input: Any, target: Any) -> tuple[Any, Any]:
        """Compute the loss and its gradient with respect to the logits; see `BCELoss.value_and_grad`.

        Examples
        --------
        >>> import numpy as np
        >>> import lucid.nn as nn
        >>> loss, grad = nn.BCEWithLogitsLoss().value_and_grad(np.array([0.0, 0.0]), np.array([0, 1]))
        >>> print(loss.round(6), grad)
        0.693147 [ 0.25 -0.25]
        """
        spec = loss_spec(self.reduction, None, self.label_smoothing, self.ignore_index)
        return value_and_grad(
            "bce_with_logits", spec, input, target, self.weight, self.pos_weight, self.validate
        )

    def extra_repr(self) -> str:
        """Return what is not default."""
        return changed(self)


def changed(criterion: BCELoss | BCEWithLogitsLoss) -> str:
    """List the attributes that differ from the defaults, as arguments; arrays by their shape."""
    shown = []
    for name, default in DEFAULTS.items():
        value = getattr(criterion, name, default)
        if value is default or (isinstance(value, (str, int, float)) and value == default):
            continue
        shape = getattr(value, "shape", None)
        shown.append(f"{name}={value!r}" if shape is None else f"{name}=<shape {tuple(shape)}>")
    return ", ".join(shown)
