"""The exact losses and derivatives, fast enough for a million elements, and how far floats are from them.

The formulas are those of `lucid.testing.reference`, which defines what is exact; there mpmath computes them,
here MPFR, through gmpy2, in as many bits: a test holds one against the other. Nothing but MPFR's correctly
rounded logarithm, exponential and arithmetic comes in. Nothing cancels but the two terms of a derivative: of
the 256 bits, p - y loses 53 and its quotients as many again; other differences are measured in units of the
larger term.

An exact number is kept as the sum of two float64 and an exponent, right to 2**-53 of float64's ULP.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, wraps
from itertools import repeat
from typing import Any, Final, NamedTuple, TypeAlias

import gmpy2
import numpy as np
from gmpy2 import mpfr
from numpy.typing import NDArray

from lucid.testing.cases import Problem
from lucid.testing.reference import LARGEST, PRECISION, SIGNIFICANDS, SMALLEST_NORMAL

__all__ = ["NEVER", "Exact", "Floats", "Numbers", "exact", "last_place", "ulps"]

Floats: TypeAlias = NDArray[np.float64]
Term: TypeAlias = Callable[[float], mpfr]

CANCELLED: Final = 200  # bits: two terms that agree in so many are equal
MOST: Final = 100  # of -log p and -log(1-p)
NEVER: Final = -(1 << 40)  # below every exponent


def precisely(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compute in MPFR's numbers, whatever the thread computes in."""

    @wraps(function)
    def within(*arguments: Any, **options: Any) -> Any:
        limits = {"emin": gmpy2.get_emin_min(), "emax": gmpy2.get_emax_max()}
        with gmpy2.context(precision=PRECISION, **limits):
            return function(*arguments, **options)

    return within


class Numbers(NamedTuple):
    """Exact numbers (high + low) 2**exponent, and the exponent of the larger term of each difference."""

    high: Floats
    low: Floats
    exponent: NDArray[np.int64]
    larger: NDArray[np.int64]

    @property
    def value(self) -> Floats:
        """The nearest float64, for people to read."""
        with np.errstate(over="ignore"):
            return np.ldexp(self.high, np.clip(self.exponent, -2000, 2000).astype(np.int32))


class Exact(NamedTuple):
    """The unreduced loss of each element, its derivative by the input, and the derivative's larger term."""

    losses: list[mpfr]
    slopes: list[mpfr]
    larger: list[mpfr]

    @precisely
    def reduced(self, reduction: str, weight: Floats | None, counts: NDArray[np.int64] | None) -> Numbers:
        """Reduce the losses, if the elements occur `counts` times."""
        each = [1] * len(self.losses) if counts is None else counts.tolist()
        total = sum((n * loss for n, loss in zip(each, self.losses, strict=True)), mpfr(0))
        return numbers([total / divisor(reduction, weight, each)])

    @precisely
    def derivatives(self, reduction: str, weight: Floats | None) -> Numbers:
        """Give the derivatives of the reduced loss."""
        by = divisor(reduction, weight, [1] * len(self.slopes))
        return numbers([each / by for each in self.slopes], [each / by for each in self.larger])

    @precisely
    def unreduced(self) -> Numbers:
        """Give the losses."""
        return numbers(self.losses)

    def head(self, size: int) -> "Exact":
        """Take the first elements."""
        return Exact(self.losses[:size], self.slopes[:size], self.larger[:size])


def divisor(reduction: str, weight: Floats | None, counts: Sequence[int]) -> mpfr:
    """Return what a sum is divided by."""
    if reduction == "mean" or (reduction == "weighted_mean" and weight is None):
        return mpfr(sum(counts))
    if reduction == "weighted_mean":
        assert weight is not None
        return sum((n * mpfr(w) for n, w in zip(counts, weight.tolist(), strict=True)), mpfr(0))
    return mpfr(1)


@precisely
def exact(kernel: str, at: Problem, dtype: str) -> Exact:
    """Compute the loss of each element, and its derivative by the input."""
    losses, slopes, larger = [], [], []
    positive, negative = probability_terms() if kernel == "bce" else logit_terms()
    down, up = probability_slopes(dtype) if kernel == "bce" else logit_slopes()
    for x, a, b in coefficients(at):
        first, second = times(a, positive, x), times(b, negative, x)
        losses.append(first + second)
        first, second = times(a, down, x), times(b, up, x)
        difference, most = second - first, max(abs(first), abs(second))
        losing = first and second
        slopes.append(mpfr(0) if losing and abs(difference) < most * mpfr(2) ** -CANCELLED else difference)
        larger.append(most if losing else mpfr(0))
    return Exact(losses, slopes, larger)


def coefficients(at: Problem) -> Iterator[tuple[float, mpfr, mpfr]]:
    """Yield x, a = w v y and b = w (1-y) of each element."""
    weight: Iterable[float] = repeat(1.0) if at.weight is None else at.weight.tolist()
    pos_weight: Iterable[float] = repeat(1.0) if at.pos_weight is None else at.pos_weight.tolist()
    for x, t, w, v in zip(at.x.tolist(), at.target.tolist(), weight, pos_weight, strict=False):
        y = mpfr(t)
        yield x, y * w * v, (1 - y) * w


def times(coefficient: mpfr, term: Term, x: float) -> mpfr:
    """Multiply, where 0 times infinity is 0."""
    return coefficient * term(x) if coefficient else mpfr(0)


def probability_terms() -> tuple[Term, Term]:
    """Return -log p and -log(1-p), each remembering what it was asked."""
    return (
        cache(lambda p: min(-gmpy2.log(mpfr(p)), MOST) if p > 0 else mpfr(MOST)),
        cache(lambda p: min(-gmpy2.log1p(-mpfr(p)), MOST) if p < 1 else mpfr(MOST)),
    )


def probability_slopes(dtype: str) -> tuple[Term, Term]:
    """Return 1/p and 1/(1-p), whose divisors are bounded by the smallest normal number."""
    lowest = mpfr(2) ** SMALLEST_NORMAL[dtype]
    return lambda p: 1 / max(mpfr(p), lowest), lambda p: 1 / max(1 - mpfr(p), lowest)


def logit_terms() -> tuple[Term, Term]:
    """Return softplus(-z) and softplus(z)."""

    @cache
    def rest(size: float) -> mpfr:
        return gmpy2.log1p(gmpy2.exp(-mpfr(size)))

    return lambda z: max(-mpfr(z), mpfr(0)) + rest(abs(z)), lambda z: max(mpfr(z), mpfr(0)) + rest(abs(z))


def logit_slopes() -> tuple[Term, Term]:
    """Return sigmoid(-z) and sigmoid(z)."""

    @cache
    def sigmoid(t: float) -> mpfr:
        return 1 / (1 + gmpy2.exp(-mpfr(t)))

    return lambda z: sigmoid(-z), sigmoid


def numbers(values: Sequence[mpfr], larger: Sequence[mpfr] | None = None) -> Numbers:
    """Cut numbers in two."""
    high, low, exponents = [], [], []
    for value in values:
        exponent, mantissa = gmpy2.frexp(value) if gmpy2.is_finite(value) else (0, value)
        top = float(mantissa)
        high.append(top)
        low.append(float(mantissa - top) if gmpy2.is_finite(value) else 0.0)
        exponents.append(max(exponent, NEVER) if value else NEVER)
    terms = [max(gmpy2.frexp(each)[0], NEVER) if each else NEVER for each in larger or ()]
    return Numbers(np.array(high), np.array(low), np.array(exponents), np.array(terms or [NEVER] * len(high)))


def ulps(actual: Floats, right: Numbers, dtype: str, *, of_terms: bool = False) -> Floats:
    """Measure how far floats of a dtype are from exact numbers, in units of the last place of the latter.

    Parameters
    ----------
    actual : array of float64
        What was returned; it holds the values of the dtype.
    right : Numbers
        What should have been returned.
    dtype : str
        Whose unit in the last place.
    of_terms : bool
        Whether to measure a difference in units of its larger term.
    """
    unit = last_place(right, dtype, of_terms=of_terms)
    shift = np.clip(right.exponent - unit, -5000, 5000).astype(np.int32)
    with np.errstate(all="ignore"):
        # the first difference is exact wherever the result counts (Sterbenz), the second rounds 2**-53 of it
        error = np.ldexp(actual, -unit) - np.ldexp(right.high, shift)
        error = np.abs(error - np.ldexp(right.low, shift))
    # from half a unit above the largest number on, an infinity is the right answer
    half = 1 - 2.0 ** -(SIGNIFICANDS[dtype] + 1)
    beyond = (right.exponent > LARGEST[dtype] + 1) | (
        (right.exponent == LARGEST[dtype] + 1) & (np.abs(right.high) >= half)
    )
    infinite = np.isinf(right.high)
    overflown = np.isinf(actual) & (beyond | infinite) & (np.sign(actual) == np.sign(right.high))
    error = np.where(infinite | np.isnan(error) | np.isinf(actual), np.inf, error)
    return np.where(overflown, 0.0, error)


def last_place(right: Numbers, dtype: str, *, of_terms: bool) -> NDArray[np.int32]:
    """Return the exponent of the unit in the last place of each number."""
    size = np.maximum(right.exponent, right.larger) if of_terms else right.exponent
    place = np.maximum(size - 1, SMALLEST_NORMAL[dtype]) - SIGNIFICANDS[dtype] + 1
    return place.astype(np.int32)
