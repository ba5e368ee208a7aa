"""The oracle: both losses and their gradients in mpmath, from the definition, one element at a time.

It shares no code with any kernel. An argument is the value that a float holds, exactly; a result carries 256
bits, and what cancels to less than 2**-200 of its larger term is 0.
"""

from collections.abc import Sequence
from math import isinf, isnan
from typing import Any, Final, NamedTuple, TypeAlias

from mpmath import mp, mpf

from lucid.protocol import LossSpec

__all__ = ["Element", "Exact", "exact", "ulps"]

Number: TypeAlias = Any  # an mpf; mpmath has no types

PRECISION: Final = 256
SIGNIFICANDS: Final = {"float16": 11, "bfloat16": 8, "float32": 24, "float64": 53}
SMALLEST_NORMAL: Final = {"float16": -14, "bfloat16": -126, "float32": -126, "float64": -1022}
LARGEST: Final = {"float16": 15, "bfloat16": 127, "float32": 127, "float64": 1023}


class Element(NamedTuple):
    """The operands of one element."""

    x: float
    target: float
    weight: float = 1.0
    pos_weight: float = 1.0


class Difference(NamedTuple):
    """A number, and the larger of the two whose difference it is (0 where there is only one)."""

    value: Number
    larger: Number


class Exact(NamedTuple):
    """A loss, and its gradients with one number for each element; a reduced loss has a single one."""

    loss: list[Number]
    by_input: list[Difference]
    by_target: list[Difference]
    by_weight: list[Difference]


class Probability:
    """-log p and -log(1-p), and their derivatives."""

    def __init__(self, spec: LossSpec, dtype: str) -> None:
        self.eps: Number = mpf(0) if spec.eps is None else mpf(spec.eps)
        self.lowest: Number = mpf(2) ** SMALLEST_NORMAL[dtype] if spec.eps is None else mpf(0)
        self.most: Number = mpf(100) if spec.eps is None else -mp.log(self.eps) if self.eps else mpf("inf")

    def terms(self, p: Number) -> tuple[Number, Number]:
        """Return P and N."""
        return (
            min(-mp.log(p), self.most) if p > 0 else self.most,
            min(-mp.log1p(-p), self.most) if p < 1 else self.most,
        )

    def slopes(self, p: Number) -> tuple[Number, Number]:
        """Return P' and N'."""
        return -self.reciprocal(p), self.reciprocal(1 - p)

    def reciprocal(self, t: Number) -> Number:
        """Return 1/t, bounded; 0 where the logarithm of t is clipped."""
        if t < self.eps:
            return mpf(0)
        bounded = max(t, self.lowest)
        return 1 / bounded if bounded else mpf("inf")


class Logit:
    """softplus(-z) and softplus(z), and their derivatives."""

    def terms(self, z: Number) -> tuple[Number, Number]:
        """Return P and N."""
        return self.softplus(-z), self.softplus(z)

    def slopes(self, z: Number) -> tuple[Number, Number]:
        """Return P' and N'."""
        return -self.sigmoid(-z), self.sigmoid(z)

    def softplus(self, t: Number) -> Number:
        """Return log(1 + exp(t))."""
        if mp.isinf(t):
            return max(t, mpf(0))
        return max(t, mpf(0)) + mp.log1p(mp.exp(-abs(t)))

    def sigmoid(self, t: Number) -> Number:
        """Return 1 / (1 + exp(-t))."""
        if mp.isinf(t):
            return mpf(1 if t > 0 else 0)
        return 1 / (1 + mp.exp(-t))


class Row(NamedTuple):
    """One element's results, unreduced."""

    loss: Number
    by_input: Difference
    by_target: Difference
    by_weight: Number
    weight: Number


NOTHING: Final = Row(mpf(0), Difference(mpf(0), mpf(0)), Difference(mpf(0), mpf(0)), mpf(0), mpf(0))


def exact(kernel: str, spec: LossSpec, elements: Sequence[Element], dtype: str) -> Exact:
    """Compute a loss and its gradients from their definition.

    Parameters
    ----------
    kernel : {"bce", "bce_with_logits"}
        Which loss.
    spec : LossSpec
        Its configuration.
    elements : sequence of Element
        Its operands, none of them nan or out of range unless ignored.
    dtype : str
        The input's, whose smallest normal number bounds the gradient's divisors.
    """
    with mp.workprec(PRECISION):
        formulas = Probability(spec, dtype) if kernel == "bce" else Logit()
        kept = [element.target != spec.ignore_index for element in elements]
        rows = [row(spec, e, formulas) if keep else NOTHING for e, keep in zip(elements, kept, strict=True)]
        loss, divisor, mean = [each.loss for each in rows], mpf(1), mpf(0)
        if spec.reduction in {"mean", "weighted_mean"}:
            counts = [each.weight if spec.reduction == "weighted_mean" else 1 for each in rows]
            divisor = sum((mpf(count) for count, keep in zip(counts, kept, strict=True) if keep), mpf(0))
        if spec.reduction != "none":
            loss = [sum(loss, mpf(0)) / divisor if divisor else mpf("nan")]
        if spec.reduction == "weighted_mean":
            mean = loss[0]
        by_weight = [
            difference(each.by_weight, -mean) if keep else NOTHING.by_input
            for each, keep in zip(rows, kept, strict=True)
        ]
        return Exact(
            loss,
            [divided(each.by_input, divisor) for each in rows],
            [divided(each.by_target, divisor) for each in rows],
            [divided(each, divisor) for each in by_weight],
        )


def row(spec: LossSpec, element: Element, formulas: Probability | Logit) -> Row:
    """Compute one element."""
    s, x, w, v = (mpf(n) for n in (spec.label_smoothing, element.x, element.weight, element.pos_weight))
    y = mpf(element.target) * (1 - s) + s / 2
    a, b = w * v * y, w * (1 - y)
    positive, negative = formulas.terms(x)
    down, up = formulas.slopes(x)
    return Row(
        loss=times(a, positive) + times(b, negative),
        by_input=difference(times(a, down), times(b, up)),
        by_target=difference(times(w * v * (1 - s), positive), -times(w * (1 - s), negative)),
        by_weight=times(v * y, positive) + times(1 - y, negative),
        weight=w,
    )


def times(coefficient: Number, term: Number) -> Number:
    """Multiply, where 0 times infinity is 0."""
    return mpf(0) if coefficient == 0 else coefficient * term


def difference(first: Number, second: Number) -> Difference:
    """Add two terms of opposite signs, of which nothing may be left."""
    larger, total = max(abs(first), abs(second)), first + second
    if abs(total) < larger * mpf(2) ** -200:
        total = mpf(0)
    return Difference(total, larger if first and second else mpf(0))


def divided(difference: Difference, divisor: Number) -> Difference:
    """Divide both numbers; 0 if there was nothing to average."""
    return Difference(*((n / divisor if divisor else mpf(0)) for n in difference))


def ulps(actual: float, expected: Number, dtype: str, of: Number = 0) -> float:
    """Measure how far a float is from an exact number, in units of the last place.

    Parameters
    ----------
    actual : float
        What a kernel returned.
    expected : mpf
        What it should have been.
    dtype : str
        Whose unit in the last place.
    of : mpf
        A larger number in whose unit the error is measured, if `expected` is a difference of such numbers.
    """
    with mp.workprec(PRECISION):
        if isnan(actual) or mp.isnan(expected):
            return 0.0 if isnan(actual) and mp.isnan(expected) else float("inf")
        size = max(abs(expected), abs(of))
        exponent = max(
            mp.frexp(size)[1] - 1 if size and not mp.isinf(size) else -10000, SMALLEST_NORMAL[dtype]
        )
        unit = mpf(2) ** (exponent - SIGNIFICANDS[dtype] + 1)
        beyond = mpf(2) ** (LARGEST[dtype] + 1)  # from here on, an infinity is the right answer
        if isinf(actual):
            right = mp.isinf(expected) or abs(expected) >= beyond * (1 - mpf(2) ** -(SIGNIFICANDS[dtype] + 1))
            return 0.0 if right and (actual > 0) == (expected > 0) else float("inf")
        if mp.isinf(expected):
            return float("inf")
        return float(abs(mpf(actual) - expected) / unit)
