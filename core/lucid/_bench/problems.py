"""What is measured: the operations, and their operands."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["DTYPES", "OPERATIONS", "Operation", "Problem", "pose"]

DTYPES: Final = ("float16", "bfloat16", "float32", "float64")
FEW: Final = 32  # the elements of an operation that is measured by the call


class Operation(NamedTuple):
    """What a user asks of a loss.

    Parameters
    ----------
    name, title : str
        In the command line, and in tables.
    logits, soft, weighted, gradient : bool
        From logits instead of probabilities; labels between 0 and 1 instead of at them; with a weight for
        each element; with the gradient by the input.
    reduction : {"mean", "none"}
        The mean, or the loss of each element.
    elements : int, optional
        The number of elements, where it is part of the operation; then the time of a call counts.
    against : {"peers", "targets", "layouts", "threads"}
        Whom lucid races: others, or itself with other targets, memory layouts or numbers of threads.
    """

    name: str
    title: str
    logits: bool = False
    soft: bool = False
    weighted: bool = False
    gradient: bool = False
    reduction: Literal["mean", "none"] = "mean"
    elements: int | None = None
    against: Literal["peers", "targets", "layouts", "threads"] = "peers"


OPERATIONS: Final = {
    each.name: each
    for each in (
        Operation("mean", "mean, hard labels"),
        Operation("mean-soft", "mean, soft labels", soft=True),
        Operation("mean-weighted", "mean, weighted", weighted=True),
        Operation("none", "unreduced", reduction="none"),
        Operation("gradient", "mean and gradient", gradient=True),
        Operation("logits-mean", "logits, mean", logits=True),
        Operation("logits-none", "logits, unreduced", logits=True, reduction="none"),
        Operation("logits-gradient", "logits, mean and gradient", logits=True, gradient=True),
        Operation("call", f"one call, n = {FEW}", elements=FEW),
        Operation("call-gradient", f"one call and gradient, n = {FEW}", gradient=True, elements=FEW),
        Operation("targets", "mean, targets of other types", against="targets"),
        Operation("layouts", "mean, other memory layouts", against="layouts"),
        Operation("threads", "mean, more threads", against="threads"),
    )
}


@dataclass(frozen=True, slots=True)
class Problem:
    """An operation and its operands, as NumPy arrays; those of bfloat16 are its values, as float32."""

    op: Operation
    dtype: str
    x: "NDArray[Any]"
    y: "NDArray[Any]"
    w: "NDArray[Any] | None"

    @property
    def size(self) -> int:
        """The number of elements."""
        return self.x.size


def pose(op: Operation, dtype: str, size: int, seed: int = 0) -> Problem:
    """Draw the operands of an operation.

    Probabilities are uniform in [0.01, 0.99], where all formulas agree, whatever they clip at; logits are
    normal with a standard deviation of 2; a label is 1 as often as its probability says, or uniform in
    [0, 1]; weights are uniform in [0.5, 1.5].
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    x: Any = rng.standard_normal(size, dtype="float32") if op.logits else rng.random(size, dtype="float32")
    x = 2 * x if op.logits else 0.01 + 0.98 * x
    y: Any = rng.random(size, dtype="float32")
    if not op.soft:
        y = (y < (1 / (1 + np.exp(-x)) if op.logits else x)).astype("float32")
    w = 0.5 + rng.random(size, dtype="float32") if op.weighted else None
    return Problem(op, dtype, rounded(x, dtype), rounded(y, dtype), None if w is None else rounded(w, dtype))


def rounded(array: "NDArray[Any]", dtype: str) -> "NDArray[Any]":
    """Convert a float32; for bfloat16, which NumPy lacks, keep of it what bfloat16 has room for."""
    import numpy as np

    if dtype != "bfloat16":
        return array.astype(dtype, copy=False)
    kept: NDArray[Any] = (array.view("uint32") & np.uint32(0xFFFF0000)).view("float32")
    return kept
