"""What is measured: the table of operations, the regimes of their operands, and their bounds."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from math import log
from typing import Final, Literal, NamedTuple

import numpy as np
from numpy.random import Generator

from accuracy.oracle import Floats
from lucid.testing import harness
from lucid.testing.cases import Problem, corners, rounded
from lucid.testing.reference import SIGNIFICANDS, SMALLEST_NORMAL

__all__ = ["ALL", "DTYPES", "FEW", "MANY", "OPS", "Case", "Op", "cases", "many", "problem"]

DTYPES: Final = ("float16", "bfloat16", "float32", "float64")
REDUCTIONS: Final = ("sum", "mean", "weighted_mean")
EDGES: Final = "edges"
NEAR: Final = "target near"
ALL: Final = "every value"
FEW: Final = "few at a time"
MANY: Final = "many elements"


class Op(NamedTuple):
    """What is computed: a loss, or its derivative by the input."""

    name: str
    title: str
    kernel: Literal["bce", "bce_with_logits"]
    gradient: bool
    reductions: tuple[str, ...]

    def bound(self, case: "Case", reduction: str, *, host_values: bool) -> float:
        """Look up what is promised; what the kit allows for weights in float64 is not."""
        logits, dtype = self.kernel != "bce", case.dtype
        if self.gradient:
            return (harness.LOGITS_GRADIENT_BOUND if logits else harness.GRADIENT_BOUND)[dtype]
        if reduction != "none":
            return harness.SUM_BOUND[dtype]
        if logits:
            return harness.LOGITS_LOSS_BOUND[dtype]
        return (harness.LOSS_BOUND if host_values else harness.DEVICE_LOSS_BOUND)[dtype]

    def of_terms(self, case: "Case") -> bool:
        """Whether the unit is that of a derivative's larger term: not where p - y is all that cancels."""
        return self.gradient and (self.kernel != "bce" or case.option in {"pos_weight", "both"})


OPS: Final = {
    op.name: op
    for op in (
        Op("loss", "loss", "bce", False, ("none",)),
        Op("mean", "sum, mean", "bce", False, REDUCTIONS),
        Op("gradient", "gradient", "bce", True, ("none", *REDUCTIONS)),
        Op("logits-loss", "logits: loss", "bce_with_logits", False, ("none",)),
        Op("logits-mean", "logits: sum, mean", "bce_with_logits", False, REDUCTIONS),
        Op("logits-gradient", "logits: gradient", "bce_with_logits", True, ("none", *REDUCTIONS)),
    )
}


class Case(NamedTuple):
    """One set of operands."""

    kernel: str
    regime: str
    labels: str
    option: str
    dtype: str
    size: int

    @property
    def weighted(self) -> bool:
        """Whether each element has a weight."""
        return self.option in {"weight", "both"}


def cases(kernel: str, dtype: str, *, full: bool) -> Iterator[Case]:
    """List the cases of a loss in a dtype."""
    options = OPTIONS if full else ("plain", "both")
    for regime, labels, option in product((*INPUTS[kernel], EDGES, NEAR), ("hard", "soft"), options):
        if regime != NEAR or labels == "soft":
            size = (20_000 if option == "plain" else 4000) if full else 1000
            yield Case(kernel, regime, labels, option, dtype, size)
    for labels in ("hard", "soft"):
        yield Case(kernel, FEW, labels, "plain", dtype, 10_000 if full else 1000)
    if dtype in {"float16", "bfloat16"}:
        kinds = [("hard", "plain"), ("hard", "both"), ("soft", "plain")] if full else [("hard", "plain")]
        for labels, option in kinds:
            yield Case(kernel, ALL, labels, option, dtype, len(every_value(kernel, dtype)))
    for size in [10**n for n in range(3, 8)] if full else [40_000]:
        labels_too = ("hard", "soft") if size < 10**7 else ("hard",)
        for labels, option in product(labels_too, ("plain", "both") if size < 10**6 else ("plain",)):
            yield Case(kernel, MANY, labels, option, dtype, size)


OPTIONS: Final = ("plain", "weight", "pos_weight", "both")


def problem(case: Case) -> Problem:
    """Make the operands of a case; the same ones each time."""
    random = np.random.default_rng(list("/".join(map(str, case)).encode()))
    x, y = operands(case, random)
    weight = rounded(2.0 ** random.uniform(-6, 6, x.size), case.dtype) if case.weighted else None
    if weight is not None:
        weight[::10] = 0
    pos_weight = rounded(2.0 ** random.uniform(-3, 4, x.size), case.dtype)
    return Problem(x, y, weight, pos_weight if case.option in {"pos_weight", "both"} else None)


def operands(case: Case, random: Generator) -> tuple[Floats, Floats]:
    """Make inputs and labels."""
    kernel, regime, labels, _, dtype, size = case
    if regime == ALL:
        return grid(every_value(kernel, dtype), LABELS[labels], dtype)
    if regime == EDGES:
        lowest, highest = 2.0 ** SMALLEST_NORMAL[dtype], 1 - 2.0 ** -SIGNIFICANDS[dtype]
        ends = np.array([0.0, 1.0] if labels == "hard" else [lowest, 0.5, highest])
        return grid(rounded(corners(kernel, dtype), dtype), ends, dtype)
    y = rounded(random.integers(0, 2, size), dtype) if labels == "hard" else soft(random, size, dtype)
    if regime == NEAR:
        return rounded(PREDICTIONS[kernel](random, y, dtype), dtype), y
    return rounded(INPUTS[kernel]["interior" if regime == FEW else regime](random, size, dtype), dtype), y


def grid(x: Floats, y: Floats, dtype: str) -> tuple[Floats, Floats]:
    """Combine each input with each label."""
    inputs, labels = np.meshgrid(x, rounded(y, dtype))
    return inputs.ravel(), labels.ravel()


def soft(random: Generator, size: int, dtype: str) -> Floats:
    """Make labels in [0, 1], some of them very near an end."""
    y, near = random.random(size), 2.0 ** -random.uniform(1, 2 * SIGNIFICANDS[dtype], size)
    where = random.integers(0, 10, size)
    return rounded(np.select([where == 0, where == 1], [near, 1 - near], y), dtype)


LABELS: Final = {
    "hard": np.array([0.0, 1.0]),
    "soft": np.array([1e-3, 0.1, 1 / 3, 0.5, 0.9, 0.997]),
}


def every_value(kernel: str, dtype: str) -> Floats:
    """List every number of a 16-bit dtype in [0, 1], -0 with it, or every one but nan."""
    bits = np.arange(1 << 16, dtype=np.uint32)
    values = (bits << 16).view(np.float32) if dtype == "bfloat16" else bits.astype(np.uint16).view(np.float16)
    wanted = (values >= 0) & (values <= 1) if kernel == "bce" else ~np.isnan(values)
    return values[wanted].astype(np.float64)


# The regimes: from a generator of random numbers, a size and a dtype, inputs to be rounded to it


def interior(random: Generator, size: int, dtype: str) -> Floats:
    """Uniform."""
    return random.random(size)


def near_0(random: Generator, size: int, dtype: str) -> Floats:
    """Every power of two down to the smallest normal number."""
    return 2.0 ** random.uniform(SMALLEST_NORMAL[dtype], -4, size)


def near_1(random: Generator, size: int, dtype: str) -> Floats:
    """As near as the dtype allows."""
    return 1 - 2.0 ** -random.uniform(4, SIGNIFICANDS[dtype] + 1, size)


def subnormal(random: Generator, size: int, dtype: str) -> Floats:
    """Down to the smallest number."""
    lowest, digits = SMALLEST_NORMAL[dtype], SIGNIFICANDS[dtype] - 1
    made: Floats = np.floor(2.0 ** random.uniform(0, digits, size)) * 2.0 ** (lowest - digits)
    return made


def signed(regime: Callable[..., Floats], random: Generator, size: int, dtype: str) -> Floats:
    """Negative ones, too."""
    return regime(random, size, dtype) * rounded(random.choice([-1, 1], size), dtype)


def ordinary(random: Generator, size: int, dtype: str) -> Floats:
    """Such as networks give."""
    return random.normal(0, 4, size)


def tails(random: Generator, size: int, dtype: str) -> Floats:
    """From where a sigmoid is nearly 0 to beyond the smallest number."""
    last = -log(2.0) * (SMALLEST_NORMAL[dtype] - SIGNIFICANDS[dtype])
    return random.uniform(6, 1.1 * last, size)


INPUTS: Final[dict[str, dict[str, Callable[[Generator, int, str], Floats]]]] = {
    "bce": {"interior": interior, "near 0": near_0, "near 1": near_1, "subnormal": subnormal},
    "bce_with_logits": {
        "interior": ordinary,
        "near 0": partial(signed, near_0),
        "tails": partial(signed, tails),
        "subnormal": partial(signed, subnormal),
    },
}


def probability_near(random: Generator, y: Floats, dtype: str) -> Floats:
    """Predictions that share some of the digits of their labels, or all."""
    digits = random.integers(1, SIGNIFICANDS[dtype] + 1, y.size)
    off = random.choice([-1.0, 0.0, 1.0], y.size) * 2.0**-digits
    near: Floats = np.clip(y * (1 + off), 0, 1)
    return near


def logit_near(random: Generator, y: Floats, dtype: str) -> Floats:
    """Logits whose sigmoid is near the label."""
    with np.errstate(divide="ignore"):
        return np.log(y) - np.log1p(-y)


PREDICTIONS: Final = {"bce": probability_near, "bce_with_logits": logit_near}


def many(case: Case) -> tuple[Problem, np.ndarray]:
    """Make few different elements, and say how often each of them occurs among many.

    A fifth of the probabilities are sure of the right label and a hundredth of the wrong one, as in training:
    the largest losses are 100 times the mean, the smallest 0.
    """
    distinct = min(max(case.size // 20, 1000), 100_000)
    at = problem(case._replace(regime="interior", size=distinct))
    random = np.random.default_rng(case.size)
    sure = random.random(distinct)
    if case.kernel == "bce" and case.labels == "hard":
        close = 2.0 ** -random.uniform(4, 2 * SIGNIFICANDS[case.dtype], distinct)
        right = np.where(at.target == 1, 1 - close, close)
        x = np.select([sure < 0.2, sure < 0.21], [right, 1 - right], at.x)
        at = Problem(rounded(x, case.dtype), at.target, at.weight, at.pos_weight)
    counts = np.ones(distinct, np.int64)
    counts += random.multinomial(max(case.size - distinct, 0), np.full(distinct, 1 / distinct))
    return at, counts
