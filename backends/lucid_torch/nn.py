"""The losses as `torch.nn.Module`s: for what moves, saves, copies or wraps modules.

`lucid.nn.BCELoss` takes PyTorch's tensors too, and is the same loss. These have their weights as buffers, so
that ``.to(device)`` moves them and ``state_dict`` holds them, under the names that they have in PyTorch's.
"""

from collections.abc import Callable
from typing import Any

import torch

import lucid.nn
from lucid.nn.functional import legacy_reduction

__all__ = ["BCELoss", "BCEWithLogitsLoss"]


class Criterion(torch.nn.Module):
    """A loss of lucid's, kept in the way of PyTorch's modules."""

    ours: Callable[..., lucid.nn.Module]

    def __init__(self, weight: Any = None, **options: Any) -> None:
        super().__init__()
        old = options.pop("size_average", None), options.pop("reduce", None)
        options["reduction"] = legacy_reduction(*old, options.get("reduction", "mean"))
        for name, value in vars(self.ours(weight, **options)).items():
            self.keep(name, value)

    def keep(self, name: str, value: Any) -> None:
        """Hold a weight as a buffer, but a parameter as a parameter; and all else, numbers too, as it is."""
        is_number = isinstance(value, (float, int))
        if name in {"weight", "pos_weight"} and not is_number and not isinstance(value, torch.nn.Parameter):
            self.register_buffer(name, None if value is None else torch.as_tensor(value))
        else:
            setattr(self, name, value)


class BCELoss(Criterion):
    """`lucid.nn.BCELoss` as a PyTorch module, to be swapped in for `torch.nn.BCELoss`.

    Parameters
    ----------
    weight : Tensor, array, list or number, optional
        As for `lucid.nn.BCELoss`. A tensor, array or list becomes a buffer; a parameter is learned.
    **options
        The other arguments of `lucid.nn.BCELoss`: `reduction`, `eps`, `pos_weight` (kept as `weight` is),
        `label_smoothing`, `ignore_index`, `validate`, and the deprecated `size_average` and `reduce`.

    Examples
    --------
    >>> import torch
    >>> from lucid_torch.nn import BCELoss
    >>> criterion = BCELoss(torch.tensor([1.0, 2.0]), reduction="sum")
    >>> criterion
    BCELoss(weight=<shape (2,)>, reduction='sum')
    >>> criterion(torch.tensor([0.5, 0.5]), torch.tensor([0, 1]))
    tensor(2.0794)
    >>> criterion.state_dict()["weight"]
    tensor([1., 2.])
    """

    ours = lucid.nn.BCELoss
    forward = lucid.nn.BCELoss.forward
    extra_repr = lucid.nn.BCELoss.extra_repr


class BCEWithLogitsLoss(Criterion):
    """`lucid.nn.BCEWithLogitsLoss` as a PyTorch module, to be swapped in for `torch.nn.BCEWithLogitsLoss`.

    Parameters
    ----------
    weight : Tensor, array, list or number, optional
        As for `BCELoss`.
    **options
        The other arguments of `lucid.nn.BCEWithLogitsLoss`, as for `BCELoss`; there is no `eps`.

    Examples
    --------
    >>> import torch
    >>> from lucid_torch.nn import BCEWithLogitsLoss
    >>> BCEWithLogitsLoss(pos_weight=torch.tensor(3.0))(torch.tensor([0.0]), torch.tensor([True]))
    tensor(2.0794)
    """

    ours = lucid.nn.BCEWithLogitsLoss
    forward = lucid.nn.BCEWithLogitsLoss.forward
    extra_repr = lucid.nn.BCEWithLogitsLoss.extra_repr
