"""The conformance kit's tests: what every backend must do, once for each backend and dtype.

Run them as the package's documentation says; a case's name without the backend is what a plugin lists in
`lucid_conformance_xfails`.
"""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import lucid
from lucid._convert import resolve_dtype
from lucid._registry import registry
from lucid._selection import selected
from lucid.errors import LucidError
from lucid.protocol import API_VERSION, Backend, LossSpec, Needs
from lucid.testing.cases import OPTIONS, REDUCTIONS, Problem, problem, rounded
from lucid.testing.edges import *  # noqa: F403  # the tests of rare things run as this module's
from lucid.testing.harness import (
    GRADIENT_BOUND,
    LOGITS_GRADIENT_BOUND,
    LOSSES,
    SUM_BOUND,
    cases,
    expected,
    host,
    kernels,
    loss_bound,
    on,
    reductions,
    tensors,
    worst,
)
from lucid.testing.operands import *  # noqa: F403  # likewise
from lucid.testing.reference import exact
from lucid.testing.validation import *  # noqa: F403  # its tests are the kit's

# What a backend is


def test_backend_is_usable(installed_backend: str) -> None:
    try:
        backend = lucid.get_backend(installed_backend)
    except LucidError as error:
        pytest.skip(str(error))
    assert backend.info.name == installed_backend.rpartition(":")[2]
    assert backend.info.api_version == API_VERSION


def test_backend_is_found_through_its_arrays(backend: Backend[Any]) -> None:
    array = on(backend, [0.25, 0.75], "float32")
    assert lucid.Tensor(array).backend is backend
    names = {f"{cls.__module__}:{cls.__qualname__}" for cls in type(array).__mro__}
    assert names & set(backend.info.array_types)


def test_arrays_come_in_and_go_out_unchanged(backend: Backend[Any], dtype: str) -> None:
    values = rounded([[0.1, 0.2, 0.3], [-1.5, 0.0, np.inf]], dtype)
    array = on(backend, values, dtype)
    assert array.dtype == resolve_dtype(backend, dtype)
    assert np.array_equal(host(array, backend), values)
    assert backend.asarray(array) is array
    copied = backend.asarray(array, copy=True)
    assert copied is not array
    assert np.array_equal(host(copied, backend), values)
    like = backend.asarray(np.asarray(0.5), like=array)
    assert host(like, backend).shape == ()


# What the numbers are


@cases
@reductions
def test_loss(
    backend: Backend[Any], dtype: str, kernel: str, regime: str, option: str, reduction: str
) -> None:
    at = problem(kernel, regime, option, dtype)
    operands = tensors(backend, at, dtype, requires_grad=False)
    loss = LOSSES[kernel](*operands[:3], reduction, pos_weight=operands[3], **OPTIONS[option].spec)
    assert loss.dtype == operands[0].dtype
    assert loss.shape == (at.x.shape if reduction == "none" else ())
    error, where = worst(host(loss, backend), expected(kernel, regime, option, dtype, reduction).loss, dtype)
    assert error <= loss_bound(backend, operands[0], kernel, dtype), f"{error:.2f} ULP in {where}"


@cases
@reductions
def test_gradients(
    backend: Backend[Any], dtype: str, kernel: str, regime: str, option: str, reduction: str
) -> None:
    at = problem(kernel, regime, option, dtype)
    if at.weight is not None:
        at = Problem(at.x, at.target, np.broadcast_to(at.weight, at.x.shape), at.pos_weight)
    operands = tensors(backend, at, dtype)
    loss = LOSSES[kernel](*operands[:3], reduction, pos_weight=operands[3], **OPTIONS[option].spec)
    loss.backward(backend.xp.ones_like(loss.data))
    right = expected(kernel, regime, option, dtype, reduction)
    # a difference of rounded terms is measured in units of the larger one; p - y, of exact numbers, is not
    cancels = kernel != "bce" or at.pos_weight is not None or "label_smoothing" in OPTIONS[option].spec
    bound = (GRADIENT_BOUND if kernel == "bce" else LOGITS_GRADIENT_BOUND)[dtype]
    if dtype == "float64":  # nothing is wider: a weight and a mean's divisor are one more rounding each
        bound += 0.5 * (at.weight is not None) + 0.5 * (reduction in {"mean", "weighted_mean"})
    for operand, gradients, of_terms in (
        (operands[0], right.by_input, cancels),
        (operands[1], right.by_target, True),
        (operands[2], right.by_weight, True),
    ):
        if operand is None:
            continue
        assert operand.grad.dtype == operand.dtype
        error, where = worst(host(operand.grad, backend), gradients, dtype, of_terms=of_terms)
        assert error <= bound, f"{error:.2f} ULP in {where}"


@kernels
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_many_elements_are_added_accurately(
    backend: Backend[Any], dtype: str, kernel: str, reduction: str
) -> None:
    random = np.random.default_rng(3)
    x = rounded(random.random(1000) if kernel == "bce" else random.normal(0, 4, 1000), dtype)
    at = Problem(x, rounded(random.integers(0, 2, 1000), dtype))
    loss = LOSSES[kernel](*tensors(backend, at, dtype, requires_grad=False)[:2], reduction=reduction)
    right = exact(kernel, LossSpec(reduction), at.elements(), dtype)  # type: ignore[arg-type]  # as above
    error, where = worst(host(loss, backend), right.loss, dtype)
    assert error <= SUM_BOUND[dtype], f"{error:.2f} ULP in {where}"


@kernels
@reductions
def test_gradients_are_finite_differences(backend: Backend[Any], kernel: str, reduction: str) -> None:
    at = problem(kernel, "soft", "both_weights", "float64")
    x = at.x.clip(0.1, 0.9) if kernel == "bce" else at.x / 4
    arrays: list[Any] = [x, at.target.clip(0.1, 0.9), np.array(at.weight), at.pos_weight]
    upstream = np.random.default_rng(5).uniform(0.5, 2, x.shape if reduction == "none" else ())

    def value(*operands: Any) -> float:
        made = tensors(backend, Problem(*operands), "float64", requires_grad=False)
        loss = LOSSES[kernel](*made[:3], reduction, pos_weight=made[3], label_smoothing=0.1)
        return float((host(loss, backend) * upstream).sum())

    operands = tensors(backend, Problem(*arrays), "float64")
    loss = LOSSES[kernel](*operands[:3], reduction, pos_weight=operands[3], label_smoothing=0.1)
    loss.backward(on(backend, upstream))
    step = 1e-6
    for place in range(3):
        for index in [(0, 0), (2, 3), (5, 6)]:
            ends = []
            for sign in (1, -1):
                moved = [np.array(each) for each in arrays]
                moved[place][index] += sign * step
                ends.append(value(*moved))
            difference = (ends[0] - ends[1]) / (2 * step)
            assert host(operands[place].grad, backend)[index] == pytest.approx(difference, rel=2e-6, abs=1e-8)


# What may go in


@kernels
@pytest.mark.parametrize(
    "other", ["bool", "int8", "uint8", "int32", "int64", "float16", "bfloat16", "float32", "float64"]
)
def test_target_and_weight_may_have_any_dtype(
    backend: Backend[Any], dtype: str, kernel: str, other: str
) -> None:
    if not hasattr(backend.xp, other):
        return  # nothing to ask of a library that lacks the dtype
    x, target = on(backend, [0.25, 0.5, 0.75, 0.5], dtype), [0, 1, 1, 0]
    for reduction in REDUCTIONS:
        right = LOSSES[kernel](x, on(backend, target, dtype), on(backend, target, dtype), reduction)
        loss = LOSSES[kernel](x, on(backend, target, other), on(backend, target, other), reduction)
        assert loss.dtype == x.dtype
        assert np.array_equal(host(loss, backend), host(right, backend))


LAYOUTS: dict[str, Callable[[Any, Any], Any]] = {
    "every_second": lambda a, xp: a[::2, 1::2],
    "transposed": lambda a, xp: xp.matrix_transpose(a),
    "cube": lambda a, xp: xp.permute_dims(xp.reshape(a, (2, 15, 20)), (2, 0, 1)),
    "broadcast": lambda a, xp: xp.broadcast_to(a[:, 3:4], (30, 50)),
    "scalar": lambda a, xp: a[3, 4, ...],
    "empty": lambda a, xp: a[:0, :],
}


@kernels
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout_does_not_change_a_bit(backend: Backend[Any], dtype: str, kernel: str, layout: str) -> None:
    random = np.random.default_rng(7)
    criterion = (lucid.nn.BCELoss if kernel == "bce" else lucid.nn.BCEWithLogitsLoss)(reduction="none")
    x, target, weight = (on(backend, random.random((30, 20)), dtype) for _ in range(3))
    views = [LAYOUTS[layout](each, backend.xp) for each in (x, target, weight)]
    flat = [on(backend, host(each, backend).copy(order="C"), dtype) for each in views]
    for reduction in REDUCTIONS:
        results = []
        for input, label, criterion.weight in (views, flat):
            criterion.reduction = reduction
            results.append(criterion.value_and_grad(input, label))
        for strided, contiguous in zip(*results, strict=True):
            assert np.array_equal(host(strided, backend), host(contiguous, backend), equal_nan=True)
    if layout == "empty":
        assert float(host(LOSSES[kernel](views[0], views[1], reduction="sum"), backend)) == 0


@kernels
def test_inputs_are_never_written_to(backend: Backend[Any], dtype: str, kernel: str) -> None:
    at = problem(kernel, "edges", "both_weights", dtype)
    operands = tensors(backend, at, dtype)
    before = [host(each, backend).copy() for each in operands]
    LOSSES[kernel](*operands[:3], "sum", pos_weight=operands[3]).backward()
    for operand, values in zip(operands, before, strict=True):
        assert np.array_equal(host(operand, backend), values, equal_nan=True)


# Kinds


@kernels
@reductions
def test_arrays_tensors_and_lists_agree(backend: Backend[Any], kernel: str, reduction: str) -> None:
    x, target = [[0.25, 0.5], [0.75, 0.125]], [[0, 1], [1, 1]]
    array = LOSSES[kernel](on(backend, x), on(backend, target), reduction=reduction)
    assert type(array) is type(on(backend, x))
    tensor = LOSSES[kernel](
        lucid.Tensor(on(backend, x)), lucid.Tensor(on(backend, target)), reduction=reduction
    )
    assert isinstance(tensor, lucid.Tensor)
    numbers = LOSSES[kernel](x, target, reduction=reduction)
    assert isinstance(numbers, list if reduction == "none" else float)
    assert host(array, backend).tolist() == tensor.tolist() == numbers


@kernels
@reductions
def test_value_and_grad_is_the_loss_and_its_gradient(
    backend: Backend[Any], kernel: str, reduction: str
) -> None:
    at = problem(kernel, "soft", "plain", "float64")
    criterion = (lucid.nn.BCELoss if kernel == "bce" else lucid.nn.BCEWithLogitsLoss)(reduction=reduction)
    x, target = on(backend, at.x), on(backend, at.target)
    loss, gradient = criterion.value_and_grad(x, target)
    tensor = lucid.Tensor(x, requires_grad=True)
    again = criterion(tensor, lucid.Tensor(target))
    again.backward(backend.xp.ones_like(again.data))
    assert tensor.grad is not None
    assert np.array_equal(host(loss, backend), host(again, backend))
    assert np.array_equal(host(gradient, backend), host(tensor.grad, backend))


@kernels
def test_backward_gives_what_is_needed_and_can_be_called_twice(backend: Backend[Any], kernel: str) -> None:
    x, target = on(backend, [0.25, 0.5]), on(backend, [0.0, 1.0])
    pair = getattr(backend, kernel)
    _, residuals = pair.forward(LossSpec("sum"), x, target, None, None, needs_grad=True)
    first = pair.backward(LossSpec("sum"), residuals, None, Needs(True, False, False))
    second = pair.backward(LossSpec("sum"), residuals, on(backend, 1.0), Needs(True, True, True))
    assert first[1:] == (None, None)
    assert all(each is not None for each in second)
    assert np.array_equal(host(first[0], backend), host(second[0], backend))


# What is wrong


def test_nan_in_is_nan_out(backend: Backend[Any], dtype: str) -> None:
    x, target = on(backend, [0.25, np.nan, 0.5], dtype), on(backend, [0, 1, 1], dtype)
    for loss in LOSSES.values():
        assert np.isnan(host(loss(x, target, reduction="none"), backend)).tolist() == [False, True, False]
        assert np.isnan(host(loss(x, target), backend))
        assert np.isnan(host(loss(target, x, reduction="none"), backend)).tolist() == [False, True, False]


OUTSIDE = {
    "input_above": ("bce", [0.5, 1.25], [0, 1], r"input\[1\] is 1\.25.*BCEWithLogitsLoss"),
    "input_below": ("bce", [-0.5, 0.25], [0, 1], r"input\[0\] is -0\.5.*BCEWithLogitsLoss"),
    "target_above": ("bce", [0.5, 0.5], [1, 2], r"target\[1\] is 2"),
    "target_below": ("bce", [0.5, 0.5], [-1, 1], r"target\[0\] is -1.*ignore_index"),
    "logits_target": ("bce_with_logits", [9.0, 9.0], [0, 2], r"target\[1\] is 2"),
}


@pytest.mark.parametrize("case", OUTSIDE)
def test_values_out_of_range_are_named_or_nan(backend: Backend[Any], case: str) -> None:
    kernel, values, labels, message = OUTSIDE[case]
    x, target = on(backend, values, "float32"), on(backend, labels, "float32")
    for reduction in REDUCTIONS:
        with pytest.raises(ValueError, match=message):
            LOSSES[kernel](x, target, reduction=reduction, validate=True)
        loss = host(LOSSES[kernel](x, target, reduction=reduction, validate=False), backend)
        assert np.isnan(loss).sum() == 1
        if backend.host_values(x):
            with pytest.raises(ValueError, match=message):
                LOSSES[kernel](x, target, reduction=reduction)


WRONG: dict[str, tuple[Any, ...]] = {
    "integers": (TypeError, [0, 1], "int64", [0.0, 1.0], None, "must hold floating-point"),
    "shapes": (ValueError, [0.5, 0.5], "float32", [1.0], None, r"\(2,\) and target \(1,\)"),
    "column": (ValueError, [[0.5], [0.5]], "float32", [1.0, 0.0], None, r"target\.reshape\(2, 1\)"),
    "row_weight": (ValueError, [[0.5] * 3] * 2, "float32", [[1.0] * 3] * 2, [1.0, 2.0], r"weight\[:, None\]"),
    "enlarging": (ValueError, [0.5], "float32", [1.0], [1.0, 2.0], "never enlarges"),
}


@kernels
@pytest.mark.parametrize("case", WRONG)
def test_operands_that_do_not_fit_are_named(backend: Backend[Any], kernel: str, case: str) -> None:
    error, values, dtype, labels, weights, message = WRONG[case]
    weight = None if weights is None else on(backend, weights, "float32")
    with pytest.raises(error, match=message):
        LOSSES[kernel](on(backend, values, dtype), on(backend, labels, "float32"), weight)


@kernels
def test_nothing_to_average_is_nan_and_nothing_to_add_is_0(backend: Backend[Any], kernel: str) -> None:
    x, target = on(backend, [0.5, 0.5]), on(backend, [-1.0, -1.0])
    results = {
        r: float(host(LOSSES[kernel](x, target, None, r, ignore_index=-1), backend)) for r in REDUCTIONS[1:]
    }
    assert results["sum"] == 0
    assert np.isnan(results["mean"])
    assert np.isnan(results["weighted_mean"])


def test_expected_failures_are_described(backend: Backend[Any]) -> None:
    for xfail in registry.xfails(selected().spec):
        assert re.fullmatch(r"\w+(\[.*\])?", xfail.case)
        assert xfail.reason
