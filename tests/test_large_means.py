"""How far a mean over many float32 elements is from the exact one.

The data are a long row of numbers, seen again and again by a stride of 0, so that they need no memory. They
hold few different numbers, each so often that the exact mean is known: each one's loss by mpmath, times its
count. ``pytest tests/test_large_means.py --mean-of 28 -s`` takes 2**28 elements, and prints the errors.
"""

from functools import cache
from typing import Any

import numpy as np
import pytest
from mpmath import mp, mpf

import lucid
from lucid import nn
from lucid.protocol import LossSpec
from lucid.testing.harness import SUM_BOUND, on
from lucid.testing.reference import PRECISION, Element, exact, ulps

ROW = 1 << 18
DIFFERENT = 500
DEFAULT = {True: 20, False: 18}  # on the host; and on a device, which may be simulated
CRITERIA = {"bce": nn.BCELoss, "bce_with_logits": nn.BCEWithLogitsLoss}
CASES = [
    (kernel, inputs, labels)
    for kernel in CRITERIA
    for inputs, labels in (
        ("random", "hard"),
        ("random", "soft"),
        ("constant", "hard"),
        ("constant", "soft"),
        ("tiny", "zero"),  # and so are the losses
    )
]


@cache
def row(kernel: str, inputs: str, labels: str) -> tuple[np.ndarray, np.ndarray, Any]:
    """Make a row, and compute the exact mean of its losses."""
    random = np.random.default_rng(len(kernel + inputs + labels))
    if inputs == "constant":
        x = np.full(DIFFERENT, 0.3 if kernel == "bce" else 0.7)
    elif kernel == "bce":
        x = random.random(DIFFERENT) ** (9 if inputs == "tiny" else 1)
    else:
        x = random.normal(-12 if inputs == "tiny" else 0, 4, DIFFERENT)
    y = {
        "zero": np.zeros(DIFFERENT),
        "soft": random.random(DIFFERENT),
        "hard": random.integers(0, 2, DIFFERENT),
    }
    x, y = (each.astype(np.float32) for each in (x, y[labels]))
    elements = [Element(*each) for each in zip(x.tolist(), y.tolist(), strict=True)]
    losses = exact(kernel, LossSpec("none"), elements, "float32").loss
    chosen = random.integers(0, DIFFERENT, ROW) ** 2 // DIFFERENT  # some far more often than others
    counts = np.bincount(chosen, minlength=DIFFERENT).tolist()
    with mp.workprec(PRECISION):
        total = sum((loss * count for loss, count in zip(losses, counts, strict=True)), mpf(0))
        return x[chosen], y[chosen], total / ROW


@pytest.mark.parametrize(("kernel", "inputs", "labels"), CASES)
def test_a_mean_of_millions_is_right_and_in_an_accumulator_to_float64(
    backend, kernel, inputs, labels, request
) -> None:
    exponent = request.config.getoption("--mean-of") or (
        21 if backend.host_values(on(backend, [0.5])) else 18
    )
    *operands, right = row(kernel, inputs, labels)
    shape = (2**exponent // ROW, ROW)
    x, y = (backend.xp.broadcast_to(on(backend, each, "float32"), shape) for each in operands)
    error = ulps(float(backend.to_numpy(CRITERIA[kernel]()(x, y))), right, "float32")
    total = lucid.BCEAccumulator(CRITERIA[kernel]())
    total.update(x, y)
    wide = ulps(total.result(), right, "float64")
    print(f"\nmean of 2**{exponent}: {error:.3f} ULP of float32; accumulated, {wide:.2f} ULP of float64")
    assert error <= SUM_BOUND["float32"]
    assert total.count == 2**exponent
    assert wide <= 3
