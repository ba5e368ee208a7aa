"""Few elements are computed as many are: with the same bits, and no less care."""

import numpy as np
import pytest

from lucid import nn

RANDOM = np.random.default_rng(2)
LABELS = {
    "hard": RANDOM.integers(0, 2, 32),
    "boolean": RANDOM.random(32) < 0.5,
    "soft": RANDOM.random(32).astype(np.float32),
    "mixed": RANDOM.random(32).round(1).astype(np.float32),
}


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_an_element_has_the_same_bits_among_few_and_among_many(dtype, labels) -> None:
    x, y = RANDOM.uniform(0.001, 1, (4, 8)).astype(dtype), LABELS[labels].reshape(4, 8)
    for reduction in ("none", "sum"):
        few = nn.BCELoss(reduction=reduction).value_and_grad(x, y)
        many = nn.BCELoss(reduction=reduction).value_and_grad(np.tile(x, (40, 1)), np.tile(y, (40, 1)))
        assert np.array_equal(few[1], many[1][:4])
        if reduction == "none":
            assert np.array_equal(few[0], many[0][:4])


@pytest.mark.parametrize("bad", [1.5, -0.5, np.nan])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_nan_hides_nothing_that_is_out_of_range(bad, place) -> None:
    x = np.array([0.5, 0.5, 0.5, np.nan], np.float32)
    x[place] = bad
    for values in (x, np.roll(x, 1), x[::-1]):
        losses = nn.BCELoss(reduction="none", validate=False)(values, np.ones(4))
        assert np.array_equal(np.isnan(losses), np.isnan(values) | (values < 0) | (values > 1))
        losses = nn.BCEWithLogitsLoss(reduction="none", validate=False)(np.ones(4, np.float32), values)
        assert np.array_equal(np.isnan(losses), np.isnan(values) | (values < 0) | (values > 1))
