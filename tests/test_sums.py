"""Means whose losses are never formed: where they may be, where they must not, and that none can tell."""

import tracemalloc
from math import fsum

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid.protocol import LossSpec
from lucid.testing.harness import LOGITS_LOSS_BOUND, LOSS_BOUND, SUM_BOUND
from lucid.testing.reference import Element, exact, ulps

SIZE = 2**16 + 1003  # in several blocks, of which the last one is not whole
RANDOM = np.random.default_rng(0)
CONSTANTS = [1e-30, 1e-9, 1e-7, 2.0**-25, 0.3, 0.9, 1 - 2.0**-24, 1.0, 0.0]
DTYPES = [np.float16, np.float32, np.float64]


def bound(dtype, one) -> float:
    """Allow equal losses in float64 what one is allowed, for their errors are equal, and a rounding."""
    return one[dtype] + 0.5 if dtype == "float64" else SUM_BOUND[dtype]


def error_of_mean(criterion, x, y) -> float:
    """Compare with the exact mean, each different element computed once."""
    kernel = "bce" if isinstance(criterion, nn.BCELoss) else "bce_with_logits"
    pairs, counts = np.unique(np.stack([x, y.astype(x.dtype)]), axis=1, return_counts=True)
    elements = [Element(float(a), float(b), float(n)) for (a, b), n in zip(pairs.T, counts, strict=True)]
    right = exact(kernel, LossSpec("weighted_mean"), elements, x.dtype.name).loss[0]
    return ulps(float(criterion(x, y)), right, x.dtype.name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("constant", CONSTANTS)
@pytest.mark.parametrize("label", [0, 1, 0.7])
def test_equal_elements_whose_roundings_are_equal_too_are_added_accurately(dtype, constant, label) -> None:
    x, y = np.full(SIZE, constant, dtype), np.full(SIZE, label, dtype)
    assert error_of_mean(nn.BCELoss(), x, y) <= bound(x.dtype.name, LOSS_BOUND)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("constant", [-90, -20, -0.7, 0, 1e-6, 0.7, 3, 20])
@pytest.mark.parametrize("label", [0, 1, 0.3])
def test_equal_logits_are_added_accurately(dtype, constant, label) -> None:
    z, y = np.full(SIZE, constant, dtype), np.full(SIZE, label, dtype)
    assert error_of_mean(nn.BCEWithLogitsLoss(), z, y) <= bound(z.dtype.name, LOGITS_LOSS_BOUND)


FEW_VALUES = {
    "sorted": np.sort(RANDOM.choice([0.05, 0.3, 0.9], SIZE)),
    "columns": np.tile([0.1, 0.2, 0.7, 0.31, 0.45], SIZE // 5 + 1)[:SIZE],
    "percentages": RANDOM.integers(1, 100, SIZE) / 100,
    "one_outlier": np.where(np.arange(SIZE) == 77, 0.999, 0.3),
    "confident": np.where(RANDOM.random(SIZE) < 0.01, 0.4, 1e-6),
    "perfect": np.where(RANDOM.random(SIZE) < 1e-3, 1e-3, 1e-8),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("values", FEW_VALUES)
def test_few_different_values_are_added_accurately(dtype, values) -> None:
    x, y = FEW_VALUES[values].astype(dtype), np.arange(SIZE) % 3 == 0
    assert error_of_mean(nn.BCELoss(), x, y) <= bound(x.dtype.name, LOSS_BOUND)
    x, y = FEW_VALUES[values].astype(dtype), np.zeros(SIZE, bool)
    assert error_of_mean(nn.BCELoss(), x, y) <= bound(x.dtype.name, LOSS_BOUND)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("share", [1e-5, 1e-4, 1e-3])
def test_rare_losses_that_make_up_the_sum_are_added_accurately(dtype, share) -> None:
    rare = RANDOM.random(8 * SIZE) < share
    for loss in (0.1, 0.3, 0.45):  # the others' losses are 0, and without an error
        x, y = np.where(rare, loss, 1).astype(dtype), np.where(rare, 0, 1)
        assert error_of_mean(nn.BCELoss(), x, y) <= bound(x.dtype.name, LOSS_BOUND)


@pytest.mark.parametrize("criterion", [nn.BCELoss, nn.BCEWithLogitsLoss])
@pytest.mark.parametrize("place", [5, 777, SIZE - 9])
def test_a_weight_that_outweighs_all_others_does_not_hide_its_rounding(criterion, place) -> None:
    x, y, w = np.full(SIZE, 0.5, np.float32), np.ones(SIZE, bool), np.ones(SIZE, np.float32)
    w[place] = 1e12
    for value in np.linspace(0.05, 0.45, 9):
        x[place], y[place] = value, 0
        right = fsum(criterion(reduction="none", weight=w)(x.astype(np.float64), y).tolist())
        error = ulps(float(criterion(reduction="sum", weight=w)(x, y)), right, "float32")
        assert error <= SUM_BOUND["float32"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", [{}, {"weight": 0.3}, {"pos_weight": 2.5}, {"label_smoothing": 0.1}])
@pytest.mark.parametrize("labels", ["hard", "soft", "one_soft", "boolean"])
@pytest.mark.parametrize("criterion", [nn.BCELoss, nn.BCEWithLogitsLoss])
def test_a_mean_is_the_mean_of_the_losses(criterion, labels, options, dtype) -> None:
    x, y = RANDOM.random(SIZE).astype(dtype), RANDOM.integers(0, 2, SIZE).astype(dtype)
    if labels == "soft":
        y = RANDOM.random(SIZE).astype(dtype)
    elif labels == "one_soft":
        y[SIZE // 2] = 0.25
    y = y.astype(bool) if labels == "boolean" else y
    wide = criterion(reduction="none", **options)(x.astype(np.float64), y)
    assert criterion(**options)(x, y) == pytest.approx(wide.mean(), rel=1.2 * float(np.finfo(dtype).eps))


def test_targets_of_a_wider_dtype_are_not_rounded() -> None:
    x, y = np.full(SIZE, 0.5, np.float32), np.ones(SIZE)
    y[7] = np.nextafter(1, 2)
    with pytest.raises(ValueError, match=r"target\[7\]"):
        nn.BCELoss()(x, y)
    x[:], y[:] = 1 - 2.0**-24, 1 - 2.0**-30
    gradient = nn.BCELoss(reduction="sum").value_and_grad(x, y)[1]
    assert gradient[0] == pytest.approx((x[0] - y[0]) / x[0] / (1 - float(x[0])))


def test_extended_precision_is_taken() -> None:
    x = np.full(SIZE, 0.3, np.longdouble)
    for few in (x, x[:5]):
        assert float(nn.BCELoss()(few, np.ones(few.size))) == pytest.approx(-np.log(0.3))


def test_one_wrong_certainty_is_bounded_among_many_elements() -> None:
    x, y = np.full(SIZE, 0.7, np.float32), np.ones(SIZE, np.float32)
    for wrong in (0.0, 1e-45, 1e-44):
        x[5] = wrong
        assert error_of_mean(nn.BCELoss(), x, y) <= 0.6


def test_infinite_logits_and_nan_are_not_lost() -> None:
    z = np.array([np.inf, -np.inf] * (SIZE // 2), np.float32)
    assert nn.BCEWithLogitsLoss()(z, z > 0) == 0
    assert nn.BCEWithLogitsLoss()(z, z < 0) == np.inf
    z[3] = np.nan
    assert np.isnan(nn.BCEWithLogitsLoss()(z, z > 0))
    x = np.full(SIZE, 0.5, np.float32)
    x[9] = np.nan
    assert np.isnan(nn.BCELoss()(x, np.ones(SIZE)))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("labels", ["hard", "soft"])
@pytest.mark.parametrize("criterion", [nn.BCELoss, nn.BCEWithLogitsLoss])
def test_a_nan_among_many_is_nan_in_its_own_results_alone(criterion, labels, dtype) -> None:
    x = RANDOM.random(SIZE).astype(dtype)
    y = (RANDOM.random(SIZE) if labels == "soft" else RANDOM.integers(0, 2, SIZE)).astype(dtype)
    for operand in (x, y):
        operand[RANDOM.integers(0, SIZE, 5)] = np.nan
    nan = np.isnan(x) | np.isnan(y)
    for weight in (None, RANDOM.random(SIZE)):
        losses = criterion(reduction="none", weight=weight)(x, y)
        mean, gradient = criterion(weight=weight).value_and_grad(x, y)
        assert np.isnan(mean)
        assert np.array_equal(np.isnan(losses), nan)
        assert np.array_equal(np.isnan(gradient), nan)


@pytest.fixture
def restore_threads():
    yield
    lucid.set_num_threads(None)


@pytest.mark.usefixtures("restore_threads", "early_threads")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("criterion", [nn.BCELoss, nn.BCEWithLogitsLoss])
@pytest.mark.parametrize("reduction", ["none", "mean", "weighted_mean"])
def test_the_number_of_threads_does_not_change_a_bit(criterion, dtype, reduction) -> None:
    x, y = RANDOM.random((3, 700_001)).astype(dtype), RANDOM.random((3, 700_001)).round(1)
    results = []
    for threads in (1, 2, 3):
        lucid.set_num_threads(threads)
        results.append(criterion(reduction=reduction).value_and_grad(x, y))
    for loss, gradient in results[1:]:
        assert np.array_equal(loss, results[0][0])
        assert np.array_equal(gradient, results[0][1])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("criterion", [nn.BCELoss, nn.BCEWithLogitsLoss])
def test_one_pass_gives_the_bits_of_two(criterion, dtype) -> None:
    x, y = RANDOM.random(SIZE).astype(dtype), RANDOM.integers(0, 2, SIZE)
    loss, gradient = criterion().value_and_grad(x, y)
    input = lucid.Tensor(x, requires_grad=True)
    again = criterion()(input, lucid.Tensor(y))
    again.backward()
    assert np.array_equal(loss, again.numpy())
    assert np.array_equal(gradient, input.grad.numpy())


@pytest.mark.usefixtures("restore_threads", "early_threads")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("labels", ["hard", "soft"])
def test_memory_beyond_the_operands_and_the_result_stays_below_4_mebibytes(dtype, labels) -> None:
    lucid.set_num_threads(1)
    x, w = RANDOM.random(1 << 21).astype(dtype), RANDOM.random(1 << 21)
    y = x.round() if labels == "hard" else x[::-1]
    for criterion in (nn.BCELoss(weight=w), nn.BCEWithLogitsLoss(weight=w)):
        for reduction, results in (("mean", 0), ("none", x.nbytes)):
            criterion.reduction = reduction
            tracemalloc.start()
            criterion(x, y)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak - results <= 4 << 20
