"""Properties that hold for all backends, shapes, dtypes, memory layouts and values.

Small problems are drawn number by number; large ones, which are computed in other ways, are drawn as a seed.
"""

from math import prod
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import lucid
from lucid import nn
from lucid.testing.cases import rounded
from lucid.testing.harness import LOSSES, host, kernels, on
from lucid.testing.plugin import DTYPES

settings.register_profile("lucid", deadline=None, max_examples=25, derandomize=True)
settings.load_profile("lucid")

BITS = {"float16": 16, "bfloat16": 32, "float32": 32, "float64": 64}
EPSILON = {"float16": 2.0**-10, "bfloat16": 2.0**-7, "float32": 2.0**-23, "float64": 2.0**-52}
SMALLEST = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 2.0**-1074}
REDUCTIONS = st.sampled_from(["sum", "mean", "weighted_mean"])
LARGE = [(2**15 + 3,), (5, 2**13 + 1), (2**17, 2), (2**19 + 5,), (3, 2**18 + 1)]
CRITERIA = {"bce": nn.BCELoss, "bce_with_logits": nn.BCEWithLogitsLoss}

few = settings(max_examples=5)


class Problem(NamedTuple):
    """Probabilities, labels and weights whose numbers are exact in a dtype, and how they lie in memory."""

    p: np.ndarray
    y: np.ndarray
    w: np.ndarray
    dtype: str
    layout: str

    def x(self, kernel):
        """The probabilities, or as many logits."""
        return self.p if kernel == "bce" else rounded(self.p * 16 - 8, self.dtype)

    def on(self, backend, kernel, layout=None):
        """Put the operands on a backend, if it has the dtype; or else as float32."""
        dtype = self.dtype if hasattr(backend.xp, self.dtype) else "float32"
        return [
            laid(backend, each, dtype, layout or self.layout) for each in (self.x(kernel), self.y, self.w)
        ]


def laid(backend, values, dtype, layout):
    """Put numbers on a backend so that they lie in memory in some way."""
    if layout == "strided" and values.ndim:
        among = np.full((*values.shape[:-1], 2 * values.shape[-1]), np.nan)
        among[..., ::2] = values
        return on(backend, among, dtype)[..., ::2]
    if layout == "transposed":
        return backend.xp.permute_dims(on(backend, values.T, dtype), tuple(range(values.ndim))[::-1])
    return on(backend, values, dtype)


DTYPE = st.sampled_from(DTYPES)
LAYOUT = st.sampled_from(["contiguous", "strided", "transposed"])


@st.composite
def problems(draw, *, hard=None, low=0.0, dtypes=DTYPE):
    """Draw a small problem."""
    dtype, layout = draw(dtypes), draw(LAYOUT)
    shape = draw(npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5))
    hard = draw(st.booleans()) if hard is None else hard
    unit = st.floats(low, 1 - low, width=BITS[dtype])
    label = st.sampled_from([0.0, 1.0]) if hard else st.floats(0, 1, width=BITS[dtype])
    drawn = (
        draw(npst.arrays(np.float64, shape, elements=each))
        for each in (unit, label, st.floats(0.125, 4, width=BITS[dtype]))
    )
    return Problem(*(rounded(each, dtype).clip(0, 4) for each in drawn), dtype, layout)


@st.composite
def large_problems(draw, *, hard=None):
    """Draw a problem that takes the paths for many elements: random numbers, or few that repeat."""
    dtype, layout, shape = draw(DTYPE), draw(LAYOUT), draw(st.sampled_from(LARGE))
    hard = draw(st.booleans()) if hard is None else hard
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    size = draw(st.sampled_from([prod(shape), 1, 3, 64, 1000]))

    def numbers(low, high):
        return rounded(np.resize(random.uniform(low, high, size), shape), dtype)

    p, y, w = numbers(0, 1), numbers(0, 1), numbers(0.125, 4)
    return Problem(p, np.round(y) if hard else y, w, dtype, layout)


def evaluated(backend, kernel, operands, reduction="none", **options):
    """Compute a loss and its gradient, on the host."""
    x, y, w = operands
    loss, gradient = CRITERIA[kernel](w, reduction, **options).value_and_grad(x, y)
    assert str(gradient.dtype) == str(loss.dtype) == str(x.dtype)
    return host(loss, backend), host(gradient, backend)


def close(found, right, dtype, terms=0.0, units=4):
    """Compare to within some units in the last place, of the terms if the numbers are differences of such."""
    with np.errstate(invalid="ignore"):  # inf - inf
        allowed = units * (EPSILON[dtype] * np.maximum(abs(right), terms) + SMALLEST[dtype])
        right = (abs(found - right) <= allowed) | (found == right) | (np.isnan(found) & np.isnan(right))
    assert right.all(), found[~right]


def terms_of(kernel, w):
    """Bound the terms whose difference a gradient is; that of probabilities is exact to its last place."""
    return w if kernel == "bce_with_logits" else 0.0


def dtype_of(operands):
    """Name the dtype that a problem has on its backend."""
    return str(operands[0].dtype).rpartition(".")[2]


# Reductions


def reductions_agree(backend, kernel, problem, reduction):
    operands = problem.on(backend, kernel)
    dtype, w = dtype_of(operands), host(operands[2], backend)
    each, slopes = evaluated(backend, kernel, operands)
    assert each.shape == slopes.shape == problem.p.shape
    divisor = {"sum": 1.0, "mean": problem.p.size, "weighted_mean": w.sum()}[reduction]
    loss, gradient = evaluated(backend, kernel, operands, reduction)
    if divisor == 0:
        assert np.isnan(loss)
        return
    total = each.sum()
    if np.isfinite(each).all() and total / divisor < 2.0**15:
        close(loss, total / divisor, dtype)
    finite = np.isfinite(slopes)
    terms = terms_of(kernel, w / divisor)
    close(gradient, np.where(finite, slopes, gradient * divisor) / divisor, dtype, terms)


@kernels
@given(problem=problems(), reduction=REDUCTIONS)
def test_reductions_agree_with_the_unreduced_loss(backend, kernel, problem, reduction) -> None:
    reductions_agree(backend, kernel, problem, reduction)


@kernels
@few
@given(problem=large_problems(), reduction=REDUCTIONS)
def test_reductions_of_many_agree_with_the_unreduced_loss(backend, kernel, problem, reduction) -> None:
    reductions_agree(backend, kernel, problem, reduction)


# Derivatives


@kernels
@given(
    problem=problems(low=0.0625, dtypes=st.just("float64")),
    reduction=st.sampled_from(["none", "sum", "mean", "weighted_mean"]),
    smoothing=st.sampled_from([0.0, 0.25]),
    seed=st.integers(0, 2**32),
)
def test_the_gradient_is_the_derivative_of_the_loss(
    backend, kernel, problem, reduction, smoothing, seed
) -> None:
    if not problem.p.size:
        return
    points = [problem.x(kernel), problem.y.clip(0.125, 0.875), problem.w]
    random = np.random.default_rng(seed)
    upstream = random.uniform(0.5, 2, problem.p.shape if reduction == "none" else ())
    options = {"reduction": reduction, "label_smoothing": smoothing, "pos_weight": 1.5}

    def loss_at(points):
        tensors = [lucid.Tensor(laid(backend, each, "float64", problem.layout)) for each in points]
        return tensors, LOSSES[kernel]

    tensors, loss = loss_at(points)
    for each in tensors:
        each.requires_grad = True
    loss(*tensors, **options).backward(on(backend, upstream))
    for place, tensor in enumerate(tensors):
        direction, step = random.uniform(-1, 1, problem.p.shape), 2.0**-17
        ends = []
        for sign in (1, -1):
            moved = [each + sign * step * direction * (n == place) for n, each in enumerate(points)]
            tensors, loss = loss_at(moved)
            ends.append((host(loss(*tensors, **options), backend) * upstream).sum())
        slope = (host(tensor.grad, backend) * direction).sum()
        assert slope == pytest.approx((ends[0] - ends[1]) / (2 * step), rel=1e-5, abs=1e-7)


# Weights


def weights_scale(backend, kernel, problem, exponent):
    x, y, w = problem.on(backend, kernel)
    scaled = on(backend, host(w, backend) * 2.0**exponent, dtype_of([x]))
    for reduction in ("none", "sum", "mean"):
        for one, more in zip(
            evaluated(backend, kernel, (x, y, w), reduction),
            evaluated(backend, kernel, (x, y, scaled), reduction),
            strict=True,
        ):
            exact = (abs(one) > 2.0**-10) & (abs(one) < 2.0**10)  # with all its digits, before and after
            np.testing.assert_array_equal(more[exact], one[exact] * 2.0**exponent)


@kernels
@given(problem=problems(), exponent=st.integers(-3, 3))
def test_a_weight_that_is_a_power_of_2_scales_exactly(backend, kernel, problem, exponent) -> None:
    weights_scale(backend, kernel, problem, exponent)


@kernels
@given(problem=problems(dtypes=st.just("float64")))
def test_losses_of_weights_add_up_to_the_loss_of_their_sum(backend, kernel, problem) -> None:
    x, y, w = problem.on(backend, kernel)
    other = on(backend, np.full(problem.p.shape, 0.75))
    for reduction in ("none", "sum", "mean"):
        parts = [evaluated(backend, kernel, (x, y, each), reduction) for each in (w, other)]
        whole = evaluated(backend, kernel, (x, y, w + other), reduction)
        for first, second, both in zip(*parts, whole, strict=True):
            moderate = abs(both) < 2.0**1000
            close(both[moderate], (first[moderate] + second[moderate]), "float64", 5.0, units=8)


# The two losses


@given(problem=problems(dtypes=st.sampled_from(["float16", "float32"])))
def test_the_loss_from_logits_is_that_of_their_sigmoid_in_wide_precision(backend, problem) -> None:
    operands = problem.on(backend, "bce_with_logits")
    z = host(operands[0], backend)
    wide = [on(backend, each) for each in (1 / (1 + np.exp(-z)), problem.y, problem.w)]
    loss, gradient = evaluated(backend, "bce_with_logits", operands)
    right, slopes = evaluated(backend, "bce", wide)
    close(loss, right, dtype_of(operands))
    slopes = slopes * np.exp(-abs(z)) / (1 + np.exp(-abs(z))) ** 2
    np.testing.assert_allclose(gradient, slopes, rtol=1e-3, atol=1e-6)


@kernels
@given(problem=problems(hard=True, dtypes=st.just("float64")))
def test_flipping_prediction_and_label_keeps_the_loss(backend, kernel, problem) -> None:
    x, y, w = np.round(problem.x(kernel) * 1024) / 1024, problem.y, problem.w  # so that 1 - p is exact
    flipped = 1 - x if kernel == "bce" else -x
    loss, gradient = evaluated(backend, kernel, [on(backend, each) for each in (x, y, w)])
    again, back = evaluated(backend, kernel, [on(backend, each) for each in (flipped, 1 - y, w)])
    close(again, loss, "float64")
    close(-back, gradient, "float64", terms_of(kernel, w))


# Order


def order_does_not_matter(backend, kernel, problem, seed, reduction):
    order = np.random.default_rng(seed).permutation(problem.p.size)
    each, slopes = (one.ravel() for one in evaluated(backend, kernel, problem.on(backend, kernel)))
    shuffled = problem._replace(
        p=problem.p.ravel()[order], y=problem.y.ravel()[order], w=problem.w.ravel()[order]
    ).on(backend, kernel)
    losses, gradient = evaluated(backend, kernel, shuffled)
    np.testing.assert_array_equal(losses, each[order])
    np.testing.assert_array_equal(gradient, slopes[order])
    loss, _ = evaluated(backend, kernel, problem.on(backend, kernel), reduction)
    again, _ = evaluated(backend, kernel, shuffled, reduction)
    close(again, loss, dtype_of(shuffled))


@kernels
@given(problem=problems(), seed=st.integers(0, 2**32), reduction=REDUCTIONS)
def test_order_does_not_matter(backend, kernel, problem, seed, reduction) -> None:
    order_does_not_matter(backend, kernel, problem, seed, reduction)


@kernels
@few
@given(problem=large_problems(), seed=st.integers(0, 2**32), reduction=REDUCTIONS)
def test_the_order_of_many_does_not_matter(backend, kernel, problem, seed, reduction) -> None:
    order_does_not_matter(backend, kernel, problem, seed, reduction)


def layout_does_not_matter(backend, kernel, problem, reduction):
    results = [
        evaluated(backend, kernel, problem.on(backend, kernel, layout), each)
        for layout in ("contiguous", "strided", "transposed")
        for each in ("none", reduction)
    ]
    for other in results[2:4], results[4:6]:
        for (loss, gradient), (right, slopes) in zip(other, results[:2], strict=True):
            np.testing.assert_array_equal(loss, right)
            np.testing.assert_array_equal(gradient, slopes)


@kernels
@given(problem=problems(), reduction=REDUCTIONS)
def test_the_layout_in_memory_does_not_change_a_bit(backend, kernel, problem, reduction) -> None:
    layout_does_not_matter(backend, kernel, problem, reduction)


@kernels
@few
@given(problem=large_problems(), reduction=REDUCTIONS)
def test_the_layout_in_memory_of_many_does_not_change_a_bit(backend, kernel, problem, reduction) -> None:
    layout_does_not_matter(backend, kernel, problem, reduction)


@kernels
@given(problem=problems(), times=st.sampled_from([2, 3, 1000]))
def test_tiling_keeps_the_mean_and_multiplies_the_sum(backend, kernel, problem, times) -> None:
    if not problem.p.size:
        return
    tiled = problem._replace(**{name: np.tile(getattr(problem, name).ravel(), times) for name in "pyw"})
    for reduction, factor in (("mean", 1), ("weighted_mean", 1), ("sum", times)):
        loss, gradient = evaluated(backend, kernel, problem.on(backend, kernel), reduction)
        again, slopes = evaluated(backend, kernel, tiled.on(backend, kernel), reduction)
        dtype, gradient = dtype_of(problem.on(backend, kernel)), gradient.ravel()
        if loss * factor < 2.0**15:
            close(again, loss * factor, dtype)
        moderate = abs(gradient) < 2.0**15
        scaled = gradient[moderate] * (factor / times)
        terms = terms_of(kernel, problem.w.max() * factor / times)
        close(slopes[: gradient.size][moderate], scaled, dtype, terms)


# Options


@kernels
@given(problem=problems(dtypes=st.just("float64")), smoothing=st.floats(0, 1))
def test_smoothing_is_smoothed_labels(backend, kernel, problem, smoothing) -> None:
    x, y, w = problem.on(backend, kernel)
    smoothed = on(backend, (problem.y * (1 - smoothing) + smoothing / 2).clip(0, 1))
    for one, other in zip(
        evaluated(backend, kernel, (x, y, w), label_smoothing=smoothing),
        evaluated(backend, kernel, (x, smoothed, w)),
        strict=True,
    ):
        size = max(1.0, np.abs(other[np.isfinite(other)]).max(initial=0))
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-13 * size)


def ignoring_is_dropping(backend, kernel, problem, reduction, dropped):
    x, y, w = problem.x(kernel).ravel(), problem.y.ravel(), problem.w.ravel()
    dropped = np.resize(dropped, x.shape)
    dtype = problem.dtype if hasattr(backend.xp, problem.dtype) else "float32"
    kept = [on(backend, each[~dropped], dtype) for each in (x, y, w)]
    left = [np.where(dropped, value, each) for each, value in ((x, np.nan), (y, -1), (w, np.nan))]
    ignoring = [laid(backend, each, dtype, problem.layout) for each in left]
    loss, gradient = evaluated(backend, kernel, ignoring, reduction, ignore_index=-1)
    right, slopes = evaluated(backend, kernel, kept, reduction)
    close(loss, right, dtype)  # added in another order
    assert not gradient[dropped].any()
    close(gradient[~dropped], slopes, dtype, terms_of(kernel, 4.0 if reduction == "sum" else 0.0))


DROPPED = st.lists(st.booleans(), min_size=1, max_size=9)


@kernels
@given(problem=problems(), reduction=REDUCTIONS, dropped=DROPPED)
def test_ignoring_is_dropping(backend, kernel, problem, reduction, dropped) -> None:
    ignoring_is_dropping(backend, kernel, problem, reduction, dropped)


@kernels
@few
@given(problem=large_problems(), reduction=REDUCTIONS, dropped=DROPPED)
def test_ignoring_among_many_is_dropping(backend, kernel, problem, reduction, dropped) -> None:
    ignoring_is_dropping(backend, kernel, problem, reduction, dropped)
