"""Properties that hold for all shapes, dtypes and values."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import lucid.nn.functional as F

settings.register_profile("lucid", deadline=None, max_examples=60, derandomize=True)
settings.load_profile("lucid")

DTYPES = st.sampled_from([np.float16, np.float32, np.float64])
REDUCTIONS = st.sampled_from(["sum", "mean", "weighted_mean"])


@st.composite
def problems(draw: st.DrawFn, *, hard: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Draw probabilities, labels and positive weights of one shape and dtype."""
    dtype = draw(DTYPES)
    shape = draw(npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    bits = np.finfo(dtype).bits
    unit = st.floats(0, 1, width=bits)
    label = st.sampled_from([0.0, 1.0]) if hard else unit
    weight = st.floats(0.125, 4, width=bits)
    return (
        draw(npst.arrays(dtype, shape, elements=unit)),
        draw(npst.arrays(dtype, shape, elements=label)),
        draw(npst.arrays(dtype, shape, elements=weight)),
    )


@given(problems(), REDUCTIONS)
def test_reductions_agree_with_the_unreduced_loss(problem, reduction) -> None:
    p, y, w = problem
    each = F.binary_cross_entropy(p, y, w, "none")
    assert each.shape == p.shape
    assert each.dtype == p.dtype
    total = each.astype(np.float64).sum()
    divisor = {"sum": 1.0, "mean": p.size, "weighted_mean": w.astype(np.float64).sum()}[reduction]
    loss = F.binary_cross_entropy(p, y, w, reduction)
    if divisor == 0:
        assert np.isnan(loss)
    else:
        with np.errstate(over="ignore"):
            right = (total / divisor).astype(p.dtype)
        np.testing.assert_allclose(loss, right, rtol=2 * np.finfo(p.dtype).eps, atol=np.finfo(p.dtype).tiny)


@given(problems(), st.integers(-3, 3))
def test_a_weight_that_is_a_power_of_2_scales_exactly(problem, exponent) -> None:
    p, y, _ = problem
    p, y = p.astype(np.float64), y.astype(np.float64)
    loss = F.binary_cross_entropy(p, y, reduction="none")
    scaled = F.binary_cross_entropy(p, y, 2.0**exponent, "none")
    np.testing.assert_array_equal(scaled[loss > 1e-300], (loss * 2.0**exponent)[loss > 1e-300])


@given(problems(hard=True))
def test_flipping_probability_and_label_keeps_the_loss(problem) -> None:
    p, y, w = (each.astype(np.float64) for each in problem)
    p = np.round(p * 1024) / 1024  # so that 1 - p is exact
    loss = F.binary_cross_entropy(p, y, w, "none")
    np.testing.assert_allclose(F.binary_cross_entropy(1 - p, 1 - y, w, "none"), loss, rtol=1e-15)


@given(problems(), st.randoms(use_true_random=False))
def test_order_does_not_matter(problem, random) -> None:
    p, y, w = (each.ravel() for each in problem)
    order = list(range(p.size))
    random.shuffle(order)
    loss = F.binary_cross_entropy(p, y, w, "none")
    np.testing.assert_array_equal(F.binary_cross_entropy(p[order], y[order], w[order], "none"), loss[order])


@given(problems(), st.floats(0, 1))
def test_smoothing_is_smoothed_labels(problem, smoothing) -> None:
    p, y, w = (each.astype(np.float64) for each in problem)
    smoothed = F.binary_cross_entropy(p, y * (1 - smoothing) + smoothing / 2, w, "none")
    loss = F.binary_cross_entropy(p, y, w, "none", label_smoothing=smoothing)
    np.testing.assert_allclose(loss, smoothed, rtol=1e-12, atol=1e-13)


@given(problems(), st.sampled_from(["sum", "mean", "weighted_mean"]))
def test_ignoring_is_dropping(problem, reduction) -> None:
    p, y, w = (each.ravel() for each in problem)
    dropped = np.arange(p.size) % 3 == 1
    kept = [each[~dropped] for each in (p, y, w)]
    y, p = np.where(dropped, -1, y).astype(y.dtype), np.where(dropped, np.nan, p).astype(p.dtype)
    ignored = F.binary_cross_entropy(p, y, w, reduction, ignore_index=-1)
    right = F.binary_cross_entropy(*kept, reduction)
    np.testing.assert_allclose(ignored, right, rtol=2 * np.finfo(p.dtype).eps)  # added in another order


@given(problems())
def test_logits_are_their_sigmoid_s_probabilities(problem) -> None:
    z, y, w = (each.astype(np.float64) for each in problem)
    z = z * 20 - 10
    probabilities = 1 / (1 + np.exp(-z))
    loss = F.binary_cross_entropy_with_logits(z, y, w, "none")
    np.testing.assert_allclose(
        loss, F.binary_cross_entropy(probabilities, y, w, "none"), rtol=1e-9, atol=1e-12
    )
