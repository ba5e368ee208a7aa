"""The conformance kit's tests of accuracy as data: rows of `lucid.testing.vectors`, and what they allow."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np
import pytest

import lucid
from lucid.protocol import Backend
from lucid.testing.cases import KERNELS
from lucid.testing.harness import LOSSES, host
from lucid.testing.reference import ulps
from lucid.testing.vectors import Vector, number, vectors

__all__ = ["test_validation_set"]

REGIMES = list(dict.fromkeys(row.regime for row in vectors("bce")))
FEW = 24
"""Rows that are also computed apart from the others: a backend may have other ways for few elements."""


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("regime", REGIMES)
def test_validation_set(backend: Backend[Any], dtype: str, kernel: str, regime: str) -> None:
    rows = [row for row in vectors(kernel) if (row.dtype, row.regime) == (dtype, regime)]
    assert rows
    faults = [fault for part in alike(rows) for fault in compare(backend, kernel, dtype, part)]
    assert not faults, f"{len(faults)} numbers are off, such as\n" + "\n".join(faults[:5])


def alike(rows: Sequence[Vector]) -> Iterator[list[Vector]]:
    """Put those together that are passed the same weights, and some of them apart once more."""

    def passed(row: Vector) -> tuple[bool, bool]:
        return bool(row.weight), bool(row.pos_weight)

    for _, group in groupby(sorted(rows, key=passed), key=passed):
        part = list(group)
        yield part
        if len(part) > FEW:
            yield part[:: len(part) // FEW + 1]


def compare(backend: Backend[Any], kernel: str, dtype: str, rows: Sequence[Vector]) -> Iterator[str]:
    """Compute losses and gradients of some rows at once, and say which are farther off than is allowed."""
    operands = [
        lucid.Tensor(np.array([float.fromhex(text) for text in column]), dtype=dtype, requires_grad=not place)
        if all(column)
        else None
        for place, column in enumerate(zip(*map(operands_of, rows), strict=True))
    ]
    x, y, w, v = operands
    assert x is not None
    loss = LOSSES[kernel](x, y, w, "none", pos_weight=v)
    loss.backward(backend.xp.ones_like(loss.data))
    assert loss.dtype == x.dtype
    results = (host(loss, backend).tolist(), host(x.grad, backend).tolist())
    on_host = backend.host_values(x.data)
    for row, value, slope in zip(rows, *results, strict=True):
        allowed = float(row.loss_ulps if on_host else row.device_loss_ulps)
        unit = number(row.gradient_term) if row.gradient_term else 0
        for what, found, right, of, most in (
            ("loss", value, row.loss, 0, allowed),
            ("gradient", slope, row.gradient, unit, float(row.gradient_ulps)),
        ):
            error = ulps(found, number(right), dtype, of)
            if not error <= most:
                shown = ", ".join(f"{text} ({float.fromhex(text):.6g})" for text in operands_of(row) if text)
                yield f"{what} of {shown}: {found.hex()}, should be {right}, off by {error:.2f} ULP of {most}"


def operands_of(row: Vector) -> tuple[str, str, str, str]:
    """Take the operands out of a row."""
    return row.input, row.target, row.weight, row.pos_weight
