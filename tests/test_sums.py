"""Means whose losses are never formed: products of eight probabilities, and where they must not be used."""

import numpy as np
import pytest

from lucid import nn
from lucid.protocol import LossSpec
from lucid.testing.reference import Element, exact, ulps

SIZE = 1003  # not a multiple of eight
RANDOM = np.random.default_rng(0)
CONSTANTS = [1e-30, 1e-9, 1e-7, 2.0**-25, 0.3, 1 - 2.0**-24, 1.0, 0.0]


def error_of_mean(criterion, x, y) -> float:
    kernel = "bce" if isinstance(criterion, nn.BCELoss) else "bce_with_logits"
    elements = [Element(float(a), float(b)) for a, b in zip(x, y, strict=True)]
    right = exact(kernel, LossSpec("mean"), elements, x.dtype.name).loss[0]
    return ulps(float(criterion(x, y)), right, x.dtype.name)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("label", [0, 1])
def test_a_mean_of_equal_losses_is_exact_however_small_or_large(dtype, constant, label) -> None:
    x, y = np.full(SIZE, constant, dtype), np.full(SIZE, label, np.uint8)
    assert error_of_mean(nn.BCELoss(), x, y) <= 0.6


@pytest.mark.parametrize("size", [1, 7, 8, 9, SIZE, 40_000])
@pytest.mark.parametrize("labels", ["hard", "soft", "one soft", "boolean"])
def test_a_mean_is_right_for_every_size_and_kind_of_label(size, labels) -> None:
    x, y = RANDOM.random(size).astype(np.float32), RANDOM.integers(0, 2, size).astype(np.float32)
    if labels == "soft":
        y = RANDOM.random(size).astype(np.float32)
    elif labels == "one soft":
        y[size // 2] = 0.25
    y = y.astype(bool) if labels == "boolean" else y
    mean = nn.BCELoss(reduction="none")(x.astype(np.float64), y).mean()
    assert nn.BCELoss()(x, y) == pytest.approx(mean, rel=6e-8)


def test_one_wrong_certainty_is_bounded_among_many_elements() -> None:
    x, y = RANDOM.random(SIZE).astype(np.float32), np.ones(SIZE)
    for wrong in (0.0, 1e-45, 1e-44):
        x[5] = wrong
        assert error_of_mean(nn.BCELoss(), x, y) <= 0.6


@pytest.mark.parametrize("scale", [1e-3, 1, 30, 1e4])
@pytest.mark.parametrize("sign", [-1, 0, 1])
def test_a_mean_from_logits_is_right_in_the_tails(scale, sign) -> None:
    z = RANDOM.normal(0, scale, SIZE).astype(np.float32)
    y = (z > 0) if sign > 0 else (z < 0) if sign < 0 else RANDOM.random(SIZE).astype(np.float32)
    assert error_of_mean(nn.BCEWithLogitsLoss(), z, y) <= 0.6


def test_infinite_logits_and_nan_are_not_lost() -> None:
    z = np.array([np.inf, -np.inf] * 8, np.float32)
    assert nn.BCEWithLogitsLoss()(z, z > 0) == 0
    assert nn.BCEWithLogitsLoss()(z, z < 0) == np.inf
    z[3] = np.nan
    assert np.isnan(nn.BCEWithLogitsLoss()(z, z > 0))
    assert np.isnan(nn.BCELoss()(np.array([0.5] * 9 + [np.nan], np.float32), np.ones(10)))
