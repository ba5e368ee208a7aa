"""A few losses, in Python's own floats: fifty elements are done before NumPy has been called twenty times.

Numbers that need care (out of range, on its edge, infinite), options and weights are left to the blocks. So
is what could be told from what the blocks give: float64, since Python's logarithm and NumPy's differ in its
last place, and each single loss from logits, which blocks compute in float32.
"""

from collections.abc import Iterable
from math import exp, fsum, inf, log, log1p, prod
from typing import Final, NamedTuple, Protocol

from lucid.protocol import LossSpec
from lucid_host.walk import Problem

__all__ = ["MOST", "Few", "FewLogits", "FewProbabilities", "elements"]

MOST: Final = 96
"""Elements up to which it pays."""

DEFAULTS: Final = LossSpec()[1:]
"""What a spec is beside its reduction, if there are no options."""

SMALLEST: Final = 2.0**-1000
CLOSEST: Final = 1 - 1e-5
"""Bounds of a product of so many: 8 digits of its logarithm are right, of which float32 keeps 7."""


class Few(NamedTuple):
    """The elements of a problem; `hard` says whether each label is 0 or 1."""

    x: list[float]
    y: list[float]
    hard: bool


class Arithmetic(Protocol):
    """What the two losses differ in."""

    @property
    def low(self) -> dict[int, float]:
        """What inputs of so many bytes must be above."""

    @property
    def high(self) -> float:
        """What they must be below."""

    def losses(self, at: Few) -> list[float]:
        """Compute the unreduced losses."""

    def sum(self, at: Few) -> float:
        """Add them."""


def elements(arithmetic: Arithmetic, spec: LossSpec, operands: Problem) -> Few | None:
    """List the elements, if they are few and plain; a nan may be among them."""
    input, target, weight, pos_weight = operands
    low = arithmetic.low.get(input.dtype.itemsize)
    if low is None or not 0 < input.size <= MOST or weight is not None or pos_weight is not None:
        return None
    if spec[1:] != DEFAULTS:
        return None
    x, y = input.ravel().tolist(), target.ravel().tolist()
    if not (low < min(x) and max(x) < arithmetic.high):  # or a nan comes first
        return None
    hard = y.count(0) + y.count(1) == len(y)
    return Few(x, y, hard) if hard or (min(y) >= 0 and max(y) <= 1) else None


class FewProbabilities:
    """The loss from probabilities."""

    low: Final = {2: 2.0**-14, 4: 2.0**-126}  # no divisor or logarithm needs its bound
    high: Final = 1.0

    def losses(self, at: Few) -> list[float]:
        """Compute the unreduced losses."""
        if at.hard:
            return [-log(p) if y else -log1p(-p) for p, y in zip(at.x, at.y, strict=True)]
        return [-y * log(p) - (1 - y) * log1p(-p) for p, y in zip(at.x, at.y, strict=True)]

    def sum(self, at: Few) -> float:
        """Add the losses; as one logarithm, where what rounds the product is nothing beside it."""
        if at.hard:
            product = prod([p if y else 1 - p for p, y in zip(at.x, at.y, strict=False)])  # a tenth faster
            if SMALLEST < product < CLOSEST:
                return -log(product)
        return fsum(self.losses(at))

    def slopes(self, at: Few, factors: Iterable[float]) -> list[float]:
        """Compute the derivatives by the input, each times a factor."""
        elements = zip(at.x, at.y, factors, strict=False)  # the factor may be one that is repeated
        if at.hard:
            return [-w / p if y else w / (1 - p) for p, y, w in elements]
        return [
            -w / p if y == 1 else w / (1 - p) if y == 0 else (p - y) / p / (1 - p) * w for p, y, w in elements
        ]


class FewLogits:
    """The loss from logits, added; alone, an element has the bits that it has among many, in float32."""

    low: Final = {2: -inf, 4: -inf}
    high: Final = inf

    def losses(self, at: Few) -> list[float]:
        """Compute the unreduced losses."""
        return [
            log1p(exp(-abs(z))) + ((1 - y) * z if z > 0 else -y * z) for z, y in zip(at.x, at.y, strict=True)
        ]

    def sum(self, at: Few) -> float:
        """Add the losses."""
        return fsum(self.losses(at))
