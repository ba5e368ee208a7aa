"""Where other libraries are wrong: the input, what is returned, what is exact, each seen in this run."""

from collections.abc import Collection, Iterator
from math import inf
from typing import Final, NamedTuple

import numpy as np

from accuracy.contestants import PEERS
from accuracy.oracle import Floats, exact, ulps
from accuracy.problems import OPS
from lucid.testing.cases import Problem, rounded

__all__ = ["DEFECTS", "Defect", "Seen", "see"]

WRONG: Final = 30  # ULPs: below, it is a matter of rounding


class Defect(NamedTuple):
    """A call whose result is wrong, and what is known of the reason."""

    peers: tuple[str, ...]
    op: str
    dtype: str
    input: float
    target: float
    reason: str
    pos_weight: float | None = None


KERAS: Final = ("keras-numpy", "keras-jax", "keras-torch")
FLOOR: Final = "divides by max(p(1-p), 1e-12)"
UNCLIPPED: Final = "1 - 1e-7 is 1 in this dtype, so nothing is clipped"
CLIPS: Final = "clips to [1e-7, 1 - 1e-7]"
CANCELS: Final = "subtracts numbers that cancel"
INFINITE: Final = "inf - inf, or 0 times inf"

DEFECTS: Final = (
    Defect(("torch",), "gradient", "float32", 1e-20, 1, FLOOR),
    Defect(("torch",), "gradient", "float32", 1, 1, f"p - y is 0; {FLOOR}"),
    Defect(("torch",), "gradient", "float16", 1, 1, "1e-12 is 0 in this dtype: 0/0"),
    Defect(("torch",), "gradient", "bfloat16", 1, 1, f"p - y is 0; {FLOOR}"),
    Defect(("torch", "keras-torch"), "logits-loss", "float32", -20, 0, CANCELS),
    Defect(("torch", "keras-torch"), "logits-loss", "float64", -40, 0, CANCELS),
    Defect(("torch", "keras-torch"), "logits-loss", "float16", -10, 0, CANCELS),
    Defect(("torch", "keras-torch"), "logits-loss", "bfloat16", -7, 0, CANCELS),
    Defect(("torch", "jax", "keras-torch"), "logits-gradient", "float32", 50, 1, CANCELS),
    Defect(("torch",), "logits-gradient", "float32", 50, 1, CANCELS, pos_weight=3.7),
    Defect(("torch", "jax", "optax", "keras-jax", "keras-torch"), "logits-loss", "float32", inf, 1, INFINITE),
    Defect(
        ("optax", "jax", "keras-jax"), "logits-loss", "float32", -95, 0, "subnormal numbers are taken for 0"
    ),
    Defect(("jax",), "logits-gradient", "float32", 0, 1, "the derivatives of max(z, 0) and abs(z) at 0"),
    Defect((*KERAS, "jax"), "loss", "float32", 1e-10, 1, CLIPS),
    Defect(("keras-jax", "keras-torch", "jax"), "gradient", "float32", 1e-20, 1, f"{CLIPS}; 0 beyond"),
    Defect(("keras-jax", "jax"), "gradient", "float32", 1e-7, 0.9, "p is at the end of the clip: half of it"),
    Defect(("keras-numpy", "keras-jax"), "loss", "float32", 1e-3, 0, "log(1 - p), not log1p(-p)"),
    Defect(("keras-numpy", "keras-jax", "jax"), "loss", "float16", 1, 1, f"{UNCLIPPED}: 0 times inf"),
    Defect(("keras-jax", "jax"), "loss", "bfloat16", 1, 1, f"{UNCLIPPED}: 0 times inf"),
    Defect(("keras-numpy",), "logits-loss", "float32", -20, 0, f"takes the sigmoid, and {CLIPS}"),
    Defect(("keras-numpy",), "logits-loss", "float32", 20, 0.9, f"takes the sigmoid, and {CLIPS}"),
    Defect(KERAS, "mean", "float64", 0.3, 1, "BinaryCrossentropy(dtype='float64') has the digits of float32"),
    Defect(("sklearn",), "mean", "float64", 1e-20, 1, "clips to the eps of the dtype"),
    Defect(("sklearn",), "mean", "float32", 1e-10, 1, "clips to the eps of the dtype"),
    Defect(("sklearn",), "mean", "float16", 1e-4, 1, "clips to the eps of the dtype"),
)


class Seen(NamedTuple):
    """A defect that a peer has here."""

    peer: str
    defect: Defect
    returned: float
    exact: float
    ulps: float


def see(peers: Collection[str]) -> Iterator[Seen]:
    """Run the calls, and yield those that are wrong here."""
    for defect in DEFECTS:
        at, op = operands(defect), OPS[defect.op]
        right = exact(op.kernel, at, defect.dtype)
        reduction = "mean" if defect.op == "mean" else "none"
        answer = right.derivatives("none", None) if op.gradient else right.unreduced()
        for name in (each for each in defect.peers if each in peers):
            returned = PEERS[name].evaluate(op, at, defect.dtype, reduction)
            assert returned is not None
            error = float(ulps(np.broadcast_to(returned, at.x.shape), answer, defect.dtype)[0])
            if error > WRONG:
                yield Seen(name, defect, float(returned[0]), float(answer.value[0]), error)


def operands(defect: Defect) -> Problem:
    """Make the operands; twice the same, as some libraries want several."""

    def twice(number: float) -> Floats:
        return rounded([number, number], defect.dtype)

    v = None if defect.pos_weight is None else twice(defect.pos_weight)
    return Problem(twice(defect.input), twice(defect.target), None, v)
