"""The validation sets: losses and gradients as data, hex in, hex out, in the manner of NumPy's.

``data/bce.csv`` and ``data/bce_with_logits.csv`` have a row for each element that is hard to compute, with
what mpmath says and the error that is allowed. Any language reads them. The columns:

regime
    Why the element is hard.
dtype
    In which everything is given, and the results are returned.
input, target, weight, pos_weight
    Hexadecimal floats, exact in that dtype; empty for a weight that is not passed.
loss, gradient
    The unreduced loss and its derivative by the input, to 17 hexadecimal digits, more than any dtype holds.
loss_ulps, device_loss_ulps, gradient_ulps
    The errors that are allowed, in units in the last place of the dtype, at the exact number. The second one
    is for losses that are computed on a device.
gradient_term
    If not empty, the gradient is a difference of rounded terms, and the unit is that of this larger one.
"""

import csv
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Any, TypeAlias

from mpmath import mp, mpf

from lucid.testing.reference import PRECISION

__all__ = ["Vector", "hexadecimal", "number", "vectors"]

Number: TypeAlias = Any  # an mpf; mpmath has no types

HEX = re.compile(r"(-?)0x([01])\.([0-9a-f]+)p([+-]\d+)")
DIGITS = 16
"""Hexadecimal digits after the point: with the one before it 65 bits, of which float64 keeps 53."""


@dataclass(frozen=True, slots=True)
class Vector:
    """A row, as it is written."""

    regime: str
    dtype: str
    input: str
    target: str
    weight: str
    pos_weight: str
    loss: str
    loss_ulps: str
    device_loss_ulps: str
    gradient: str
    gradient_term: str
    gradient_ulps: str


COLUMNS = [field.name for field in fields(Vector)]


@cache
def vectors(kernel: str) -> tuple[Vector, ...]:
    """Read the rows.

    Parameters
    ----------
    kernel : {"bce", "bce_with_logits"}
        Whose.

    Examples
    --------
    >>> from lucid.testing.vectors import vectors
    >>> row = vectors("bce")[0]
    >>> row.regime, row.dtype, row.input, row.target
    ('edges', 'float16', '0x0.0p+0', '0x0.0p+0')
    """
    text = files("lucid.testing").joinpath("data", f"{kernel}.csv").read_text(encoding="ascii")
    return tuple(Vector(**row) for row in csv.DictReader(text.splitlines()))


def hexadecimal(value: Number) -> str:
    """Write a number as `float.hex` does, in up to 17 digits.

    Examples
    --------
    >>> from lucid.testing.vectors import hexadecimal, number
    >>> hexadecimal(number("-0x1.8p-1")), hexadecimal(0.1), hexadecimal(float("-inf"))
    ('-0x1.8p-1', '0x1.999999999999ap-4', '-inf')
    """
    with mp.workprec(PRECISION):
        value = mpf(value)
        sign = "-" if value < 0 else ""
        if mp.isinf(value):
            return f"{sign}inf"
        if not value:
            return "0x0.0p+0"
        significand, exponent = mp.frexp(abs(value))
        digits = int(mp.nint(significand * mpf(2) ** (4 * DIGITS + 1)))
        if digits.bit_length() > 4 * DIGITS + 1:  # rounded up to the next power of two
            digits, exponent = digits >> 1, exponent + 1
        fraction = f"{digits:x}"[1:].rstrip("0") or "0"
        return f"{sign}0x1.{fraction}p{int(exponent) - 1:+d}"


def number(text: str) -> Number:
    """Read what `hexadecimal` has written, exactly."""
    if text.endswith("inf"):
        return mpf(text)
    match = HEX.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no hexadecimal float")
    sign, whole, fraction, exponent = match.groups()
    with mp.workprec(PRECISION):
        return int(f"{sign}{whole}{fraction}", 16) * mpf(2) ** (int(exponent) - 4 * len(fraction))


def lines(rows: Iterable[Vector]) -> Iterator[str]:
    """Write rows as the lines of a file."""
    yield ",".join(COLUMNS)
    for row in rows:
        yield ",".join(getattr(row, name) for name in COLUMNS)
