"""Sums without rounding errors: the same number in whatever order it was added.

An array of float64 is split into parts, each a multiple of a power of two so large that a library can add the
part in any order, in any number of threads, on any device, and never rounds (Demmel and Nguyen, Parallel
reproducible summation, IEEE Trans. Comput. 2015). The parts' sums are carried in Python's integers.
"""

from dataclasses import dataclass
from math import frexp, inf, ldexp, nan, prod
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from lucid.protocol import Backend

__all__ = ["ONE", "ExactSum", "exact_sum", "fetched"]

UNIT: Final = 1074
"""All floats are multiples of 2**-1074."""

DIGITS: Final = 53
LARGE: Final = 2.0**900
"""From here on the splitting could overflow."""


@dataclass(frozen=True, slots=True)
class ExactSum:
    """A sum of floats, in plain integers.

    Parameters
    ----------
    units : int
        The sum of the finite ones, in units of 2**-1074.
    nans, above, below : int
        How many are nan, inf and -inf.
    """

    units: int = 0
    nans: int = 0
    above: int = 0
    below: int = 0

    @classmethod
    def of(cls, number: float) -> "ExactSum":
        """Take a finite number."""
        numerator, denominator = number.as_integer_ratio()
        return cls((numerator << UNIT) // denominator)

    def plus(self, other: "ExactSum") -> "ExactSum":
        """Add another one."""
        return ExactSum(
            self.units + other.units,
            self.nans + other.nans,
            self.above + other.above,
            self.below + other.below,
        )

    def over(self, divisor: "ExactSum") -> float:
        """Divide, and round once; what is divided by 0 is nan."""
        if self.is_finite and divisor.is_finite:
            if not divisor.units:
                return nan
            try:
                return self.units / divisor.units  # Python rounds a quotient of integers once
            except OverflowError:
                return inf if (self.units > 0) == (divisor.units > 0) else -inf
        return float(self) / float(divisor) if float(divisor) else nan

    def __float__(self) -> float:
        """Round once; with infinities and nan in the sum as the hardware does."""
        if self.nans or (self.above and self.below):
            return nan
        if self.above or self.below:
            return inf if self.above else -inf
        return self.over(ONE)

    @property
    def is_finite(self) -> bool:
        """Whether only finite numbers were added."""
        return not (self.nans or self.above or self.below)


ONE: Final = ExactSum.of(1.0)


def exact_sum(backend: "Backend[Any]", values: Any) -> ExactSum:
    """Add up an array of float64 that has elements."""
    xp = backend.xp
    lowest, highest = fetched(backend, xp.min(values), xp.max(values))
    largest = max(-lowest, highest)
    if not largest < inf:
        finite = xp.isfinite(values)
        kinds = (xp.isnan(values), values == inf, values == -inf)
        counts = fetched(backend, *(xp.sum(xp.astype(each, xp.float64)) for each in kinds))
        rest = exact_sum(backend, xp.where(finite, values, xp.zeros_like(values)))
        return ExactSum(0, *map(int, counts)).plus(rest)
    if largest > LARGE:
        large = xp.where(xp.abs(values) > 2.0**500, values, xp.zeros_like(values))
        scaled = exact_sum(backend, large * 2.0**-600)
        return ExactSum(scaled.units << 600).plus(exact_sum(backend, values - large))
    if not largest:
        return ExactSum()
    if lowest <= 0:
        sizes = xp.abs(values)
        sizes = xp.where(sizes > 0, sizes, xp.full_like(sizes, largest))
        (lowest,) = fetched(backend, xp.min(sizes))
    return in_parts(backend, values, lowest, largest)


def in_parts(backend: "Backend[Any]", values: Any, smallest: float, largest: float) -> ExactSum:
    """Add up numbers that are 0 or of a magnitude between two bounds.

    Fewer than 2**c multiples of u, none larger than 2**(53 - c) u, add up to less than 2**53 u however they
    are added, and no such sum is rounded. A number becomes a multiple of u when 1.5 u 2**52 is added to it
    and taken away again, and what is left is at most u/2, exactly. That goes on until what is left has so few
    digits, down to the last one of the smallest number, that it can be added as it is.
    """
    xp, sums = backend.xp, []
    c = (prod(values.shape) + 1).bit_length()
    last, exponent = max(frexp(smallest)[1] - DIGITS, -UNIT), frexp(largest)[1]
    while exponent + c > last + DIGITS:
        unit = exponent + c - DIGITS
        shift = ldexp(1.5, unit + DIGITS - 1)
        part = values + shift
        part -= shift
        values = values - part
        sums.append(xp.sum(part))
        exponent = unit - 1
    found = fetched(backend, *sums, xp.sum(values))
    return ExactSum(sum(ExactSum.of(number).units for number in found))


def fetched(backend: "Backend[Any]", *numbers: Any) -> list[float]:
    """Bring several numbers to the host at once."""
    values: list[float] = backend.to_numpy(backend.xp.stack(numbers)).tolist()
    return values
