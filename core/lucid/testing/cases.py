"""The table of cases: numbers at which the losses are hard, and what can be asked of them."""

from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lucid.testing.reference import LARGEST, SIGNIFICANDS, SMALLEST_NORMAL, Element

__all__ = ["KERNELS", "OPTIONS", "REDUCTIONS", "REGIMES", "Option", "Problem", "problem", "rounded"]

Numbers: TypeAlias = NDArray[np.float64]

KERNELS: Final = ("bce", "bce_with_logits")
REDUCTIONS: Final = ("none", "sum", "mean", "weighted_mean")
REGIMES: Final = ("hard", "soft", "close", "edges")


@dataclass(frozen=True, slots=True)
class Option:
    """How a loss is configured; `eps` is for probabilities only."""

    spec: dict[str, float] = field(default_factory=dict)
    weight: Literal["none", "each", "row"] = "none"
    pos_weight: bool = False


OPTIONS: Final = {
    "plain": Option(),
    "weight": Option(weight="each"),
    "row_weight": Option(weight="row"),
    "pos_weight": Option(pos_weight=True),
    "both_weights": Option(weight="each", pos_weight=True),
    "smoothing": Option({"label_smoothing": 0.1}),
    "ignore": Option({"ignore_index": -1.0}, weight="each"),
    "eps": Option({"eps": 1e-7}),
    "small_eps": Option({"eps": 1e-12}),
    "no_clamp": Option({"eps": 0.0}),
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Operands as float64 arrays whose numbers are exact in the dtype that they are meant for."""

    x: Numbers
    target: Numbers
    weight: Numbers | None = None
    pos_weight: Numbers | None = None

    def elements(self) -> list[Element]:
        """List the operands element by element, broadcast."""
        ones = np.ones_like(self.x)
        weight, pos_weight = (
            ones if each is None else np.broadcast_to(each, self.x.shape)
            for each in (self.weight, self.pos_weight)
        )
        columns = (each.ravel().tolist() for each in (self.x, self.target, weight, pos_weight))
        return [Element(*row) for row in zip(*columns, strict=True)]


def rounded(numbers: Any, dtype: str) -> Numbers:
    """Round numbers to a dtype, and hold them as float64."""
    wide: Numbers = np.asarray(numbers, dtype=np.float64)
    if dtype == "bfloat16":  # the upper half of a float32, rounded to even
        bits = wide.astype(np.float32).view(np.uint32)
        narrow = ((bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000).view(np.float32)
    else:
        narrow = wide.astype(dtype)
    return narrow.astype(np.float64)


def corners(kernel: str, dtype: str) -> list[float]:
    """List inputs where something changes: bounds, smallest numbers, tails."""
    precision, lowest = SIGNIFICANDS[dtype], SMALLEST_NORMAL[dtype]
    tiny, subnormal = 2.0**lowest, 2.0 ** (lowest - precision + 1)
    if kernel == "bce":
        near_one = [1 - 2.0**-precision, 1 - 2.0 ** (1 - precision)]
        return [
            0.0,
            -0.0,
            subnormal,
            tiny / 2,
            tiny,
            2 * tiny,
            1e-30,
            1e-7,
            1e-4,
            0.25,
            0.5,
            0.75,
            *near_one,
            1.0,
        ]
    large = 2.0 ** LARGEST[dtype]
    positive = [
        0.0,
        subnormal,
        tiny,
        1e-7,
        0.5,
        1,
        5,
        11,
        17,
        30,
        60,
        88,
        104,
        300,
        709,
        745,
        2000,
        large,
        np.inf,
    ]
    return [*positive, *(-z for z in positive)]


@cache
def problem(kernel: str, regime: str, option: str, dtype: str) -> Problem:
    """Make the operands of a case; the same ones each time.

    Parameters
    ----------
    kernel : {"bce", "bce_with_logits"}
        Which loss.
    regime : {"hard", "soft", "close", "edges"}
        "hard" and "soft" say what the labels are; "close" has predictions near soft labels, where a
        gradient cancels; "edges" combines all corners.
    option : str
        A key of `OPTIONS`.
    dtype : str
        The input's.
    """
    random = np.random.default_rng(sum(map(ord, kernel + regime + option)))
    shape = (6, 7)
    x = random.random(shape) if kernel == "bce" else random.normal(0, 6, shape)
    target = random.random(shape) if regime in {"soft", "close"} else random.integers(0, 2, shape) * 1.0
    x, target = rounded(x, dtype), rounded(target, dtype)
    if regime == "close":
        near = rounded(target * (1 + 2.0 ** -random.integers(2, 24, shape)), dtype).clip(0, 1)
        x = near if kernel == "bce" else rounded(np.log((near + 1e-4) / (1 - near + 1e-4)), dtype)
        x[0] = target[0] if kernel == "bce" else x[0]
    elif regime == "edges":
        labels = [0.0, 2.0 ** SMALLEST_NORMAL[dtype], 0.5, 1 - 2.0 ** -SIGNIFICANDS[dtype], 1.0]
        x, target = (rounded(each, dtype) for each in np.meshgrid(corners(kernel, dtype), labels))
    return with_option(OPTIONS[option], x, target, dtype, random)


def with_option(
    option: Option, x: Numbers, target: Numbers, dtype: str, random: np.random.Generator
) -> Problem:
    """Add weights and ignored elements to a problem."""
    rows, columns = x.shape
    weight = pos_weight = None
    if option.weight != "none":
        weight = rounded(random.uniform(0, 3, (rows, columns if option.weight == "each" else 1)), dtype)
        weight[1, 0] = 0.0
        weight[2, 0] *= -0.25
    if option.pos_weight:
        pos_weight = rounded(random.uniform(0.5, 5, columns), dtype)
        pos_weight[1] = 0.0
    if "ignore_index" in option.spec:
        target, x = target.copy(), x.copy()
        target[:, 2] = option.spec["ignore_index"]
        x[:3, 2] = np.nan
        x[3, 2] = 7.0
    return Problem(x, target, weight, pos_weight)
