"""A loss over data that come in pieces: the same number however they were cut."""

from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, Final

from lucid._convert import host_array
from lucid._exact import ONE, ExactSum, exact_sum, fetched
from lucid._selection import backend_of, get_backend
from lucid._tensor import Tensor
from lucid.nn._evaluate import Call, KernelName, complain, may_look, prepare
from lucid.nn.functional import loss_spec
from lucid.nn.loss import DEFAULTS, BCELoss, BCEWithLogitsLoss
from lucid.tiling import BLOCK, blocks

if TYPE_CHECKING:
    from lucid.protocol import LossSpec

__all__ = ["BCEAccumulator"]

LOSSES: "Final[dict[type[BCELoss | BCEWithLogitsLoss], KernelName]]" = {
    BCELoss: "bce",
    BCEWithLogitsLoss: "bce_with_logits",
}
DEVICE_BLOCK: Final = 1 << 20
"""Elements that are worth a dozen launches, and the wait for their sums."""


class BCEAccumulator:
    """A loss over many batches, files or processes, exact: the same bits however the data are cut.

    Each loss is computed in float64, and the losses are added without rounding errors; only `result` rounds,
    once. So the size and order of the batches, the layout of arrays, the number of threads and the order in
    which parts are merged do not change a bit.

    Parameters
    ----------
    criterion : BCELoss or BCEWithLogitsLoss, optional
        The loss, of `lucid.nn` or `lucid_torch.nn`, with its options, reduced by "mean", "sum" or
        "weighted_mean". Its weights are copied, as numbers. `nn.BCELoss()` unless given.

    Attributes
    ----------
    count : int
        How many elements were added, without those that are ignored.

    Raises
    ------
    TypeError
        The criterion is no such loss, or computes in a way of its own.
    ValueError
        Its reduction is "none".

    See Also
    --------
    lucid.nn.BCELoss : what is computed, and what its options mean.

    Notes
    -----
    It holds numbers of Python's only, no arrays: it can be pickled, sent to another process, and merged with
    what was accumulated on another backend. Two are equal if they have the same options and the same sums.
    An update that raises has added nothing. A single one is not for several threads: give each its own, and
    merge them.

    Arrays on a device that has no float64 are brought to the host.

    Examples
    --------
    >>> import lucid, lucid.nn as nn
    >>> total = lucid.BCEAccumulator(nn.BCELoss())
    >>> for probs, targets in [([0.9, 0.1], [1, 0]), ([0.8], [1]), ([0.3], [0])]:
    ...     total.update(probs, targets)
    >>> total
    BCEAccumulator(BCELoss(), count=4)
    >>> round(total.result(), 6)
    0.197635

    What was accumulated elsewhere is merged, in any order:

    >>> other = lucid.BCEAccumulator(nn.BCELoss())
    >>> other.update([0.5, 0.5], [0, 1])
    >>> total.merge(other)
    >>> total.count
    6
    """

    __slots__ = ("_count", "_criterion", "_losses", "_weights")

    def __init__(self, criterion: Any = None) -> None:
        self._criterion = plain(BCELoss() if criterion is None else criterion)
        if spec_of(self._criterion).reduction == "none":
            raise ValueError(
                "an accumulator's result is one number: the criterion's reduction must be 'mean', 'sum' or "
                "'weighted_mean', and it is 'none'"
            )
        self.reset()

    @property
    def count(self) -> int:
        """How many elements were added, without those that are ignored."""
        return self._count

    def reset(self) -> None:
        """Forget what was added."""
        self._count, self._losses, self._weights = 0, ExactSum(), ExactSum()

    def update(self, input: Any, target: Any, weight: Any = None) -> None:
        """Add the losses of a batch.

        Parameters
        ----------
        input : Tensor, array, list or number
            Probabilities or logits, as the criterion takes them; floating, of any shape, on any backend.
        target : Tensor, array, list or number
            Labels in [0, 1], in the input's shape, of any real dtype.
        weight : Tensor, array, list or number, optional
            This batch's weights, in place of the criterion's; broadcast to the input's shape.

        Raises
        ------
        ValueError, TypeError, lucid.errors.MixedBackendError
            As the criterion raises them.
        """
        criterion, spec = self._criterion, spec_of(self._criterion)
        kernel = LOSSES[type(criterion)]
        weight = criterion.weight if weight is None else weight
        call = prepare(kernel, spec, (input, target, weight, criterion.pos_weight))
        count, losses, weights = sums(widened(call, kernel), spec)
        if losses.nans and may_look(call, call.arrays[0], criterion.validate):
            complain(call, kernel, spec)
        self._count += count
        self._losses, self._weights = self._losses.plus(losses), self._weights.plus(weights)

    def merge(self, other: "BCEAccumulator") -> None:
        """Add what another one has added.

        Parameters
        ----------
        other : BCEAccumulator
            One with the same options; it is not changed.

        Raises
        ------
        ValueError
            Its options are others.
        TypeError
            It is no accumulator.
        """
        if not isinstance(other, BCEAccumulator):
            raise TypeError(f"only a BCEAccumulator can be merged, not a {type(other).__name__}")
        if not same(self._criterion, other._criterion):
            raise ValueError(f"{other!r} can't be merged into {self!r}: their options differ")
        self._count += other._count
        self._losses, self._weights = self._losses.plus(other._losses), self._weights.plus(other._weights)

    def result(self) -> float:
        """Return the loss of all that was added, as a float, rounded once.

        Returns
        -------
        float
            What the criterion would return for all of it at once: nan for the mean of nothing, 0 for its sum,
            nan or inf where an element's loss is. It has the digits of float64, whatever the inputs have.
        """
        reduction = self._criterion.reduction
        if reduction == "sum":
            return float(self._losses)
        return self._losses.over(self._weights if reduction == "weighted_mean" else whole(self._count))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BCEAccumulator):
            return NotImplemented
        mine, others = ((each._count, each._losses, each._weights) for each in (self, other))
        return mine == others and same(self._criterion, other._criterion)

    __hash__: ClassVar[None] = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._criterion!r}, count={self._count})"


def plain(criterion: Any) -> BCELoss | BCEWithLogitsLoss:
    """Copy a criterion, with numbers for arrays."""
    for cls in LOSSES:
        if getattr(type(criterion), "forward", None) is cls.forward:  # a subclass may compute something else
            options = {name: getattr(criterion, name) for name in DEFAULTS if hasattr(criterion, name)}
            return cls(**options | {name: numbers(options[name]) for name in ("weight", "pos_weight")})
    raise TypeError(
        f"an accumulator takes a BCELoss or a BCEWithLogitsLoss, of lucid.nn or lucid_torch.nn, not "
        f"{type(criterion).__module__}.{type(criterion).__qualname__}"
    )


def numbers(weight: Any) -> Any:
    """Turn a weight into numbers of Python's."""
    value = weight.data if isinstance(weight, Tensor) else weight
    if value is None:
        return None
    owner = backend_of(value)
    return (host_array(value) if owner is None else owner.to_numpy(value)).tolist()


def spec_of(criterion: BCELoss | BCEWithLogitsLoss) -> "LossSpec":
    """Read the part of the options that kernels need."""
    eps = getattr(criterion, "eps", None)
    return loss_spec(criterion.reduction, eps, criterion.label_smoothing, criterion.ignore_index)


def same(one: BCELoss | BCEWithLogitsLoss, other: BCELoss | BCEWithLogitsLoss) -> bool:
    """Whether two copies have the same options."""
    return type(one) is type(other) and vars(one) == vars(other)


def widened(call: Call, kernel: KernelName) -> Call:
    """Leave the operands where they are, if there is float64 there, and bring them to the host if not."""
    input = call.arrays[0]
    known = call.backend.xp.__array_namespace_info__().dtypes(device=input.device, kind="real floating")
    if "float64" in known:
        return call
    host = get_backend("numpy")
    x, t, w, v = (None if each is None else call.backend.to_numpy(each) for each in call.arrays)
    return call._replace(backend=host, kernel=getattr(host, kernel), arrays=(x, t, w, v))


def sums(call: Call, spec: "LossSpec") -> tuple[int, ExactSum, ExactSum]:
    """Return how many elements count, and the sums of their losses and, for a weighted mean, weights."""
    shape = tuple(call.arrays[0].shape)
    size = BLOCK if call.backend.host_values(call.arrays[0]) else DEVICE_BLOCK
    count, losses, weights = 0, ExactSum(), ExactSum()
    for place in blocks(shape, size) if 0 not in shape else ():
        x, t, w, v = (None if each is None else each[place] for each in call.arrays)
        part = call._replace(arrays=(x, t, w, v))
        losses = losses.plus(exact_sum(call.backend, unreduced(part, spec)))
        more, weight = counted(part, spec)
        count, weights = count + more, weights.plus(weight)
    return count, losses, weights


def unreduced(part: Call, spec: "LossSpec") -> Any:
    """Compute the losses of a part in float64."""
    xp, (x, *others) = part.backend.xp, part.arrays
    wide = xp.astype(x, xp.float64, copy=False)
    return part.kernel.forward(spec._replace(reduction="none"), wide, *others, needs_grad=False)[0]


def counted(part: Call, spec: "LossSpec") -> tuple[int, ExactSum]:
    """Return how many elements of a part count, and the sum of their weights if it is needed."""
    xp, (x, target, weight, _) = part.backend.xp, part.arrays
    count, kept = prod(x.shape), None
    if spec.ignore_index is not None:
        kept = xp.astype(target, xp.float64, copy=False) != spec.ignore_index
        count = int(fetched(part.backend, xp.sum(xp.astype(kept, xp.float64)))[0])
    if spec.reduction != "weighted_mean" or weight is None:
        return count, whole(count)
    weights = xp.astype(weight, xp.float64, copy=False)
    if kept is not None:
        weights = xp.where(kept, weights, xp.zeros_like(weights))
    return count, exact_sum(part.backend, weights)


def whole(count: int) -> ExactSum:
    """Take a number of ones."""
    return ExactSum(count * ONE.units)
