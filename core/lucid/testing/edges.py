"""The conformance kit's tests of what is rare: nan, -0, empty arrays, odd dtypes, operands of every kind.

They run as those of `lucid.testing.conformance`, which imports them; docs/edges.md lists what they show.
"""

from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import lucid
from lucid import nn
from lucid.protocol import Backend, LossSpec
from lucid.testing.cases import REDUCTIONS, rounded
from lucid.testing.harness import GRADIENT_BOUND, LOSS_BOUND, LOSSES, host, kernels, on, worst
from lucid.testing.reference import SIGNIFICANDS, SMALLEST_NORMAL, Element, exact

CRITERIA: dict[str, Callable[..., Any]] = {"bce": nn.BCELoss, "bce_with_logits": nn.BCEWithLogitsLoss}

VALUES: dict[str, Any] = {
    "input": [0.25, 0.5, 0.75, 0.5],
    "target": [0, 1, 1, 0],
    "weight": [1, 2, 0.5, -1],
    "pos_weight": [2, 1, 3, 1],
}

INTEGERS = ("bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)))


def evaluated(
    backend: Backend[Any], kernel: str, input: Any, target: Any, **options: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute a loss and its gradient, and bring them to the host."""
    loss, gradient = CRITERIA[kernel](**options).value_and_grad(input, target)
    return host(loss, backend), host(gradient, backend)


def placed(backend: Backend[Any], values: dict[str, Any], dtype: str) -> dict[str, Any]:
    """Put operands on the backend."""
    return {name: on(backend, each, dtype) for name, each in values.items()}


# Values


@kernels
@pytest.mark.parametrize("place", VALUES)
def test_a_nan_stays_in_its_element(backend: Backend[Any], dtype: str, kernel: str, place: str) -> None:
    sick = {**VALUES, place: [np.nan if n == 1 else value for n, value in enumerate(VALUES[place])]}
    others = [0, 2, 3]
    for reduction in REDUCTIONS:
        loss, gradient = evaluated(backend, kernel, **placed(backend, sick, dtype), reduction=reduction)
        right, slopes = evaluated(backend, kernel, **placed(backend, VALUES, dtype), reduction=reduction)
        if reduction == "none":
            assert np.isnan(loss).tolist() == [False, True, False, False]
            assert np.array_equal(loss[others], right[others])
        else:
            assert np.isnan(loss)
        assert np.isnan(gradient[1])
        if (place, reduction) == ("weight", "weighted_mean"):  # every element is divided by the sum of them
            assert np.isnan(gradient).all()
        else:
            assert np.array_equal(gradient[others], slopes[others])


@kernels
def test_minus_zero_is_zero(backend: Backend[Any], dtype: str, kernel: str) -> None:
    zeros: dict[str, Any] = {
        "input": [0, 0, 0.5],
        "target": [0, 1, 0],
        "weight": [1, 1, 0],
        "pos_weight": [1, 0, 1],
    }
    minus = {name: [-0.0 if value == 0 else value for value in each] for name, each in zeros.items()}
    for reduction in REDUCTIONS:
        options = {"reduction": reduction, "validate": True}
        right = evaluated(backend, kernel, **placed(backend, zeros, dtype), **options)
        found = evaluated(backend, kernel, **placed(backend, minus, dtype), **options)
        assert all(np.array_equal(*each) for each in zip(right, found, strict=True))


def neighbours(dtype: str) -> dict[str, float]:
    """Name the numbers next to [0, 1]."""
    precision, lowest = SIGNIFICANDS[dtype], SMALLEST_NORMAL[dtype]
    return {"above": 1 + 2.0 ** (1 - precision), "below": -(2.0 ** (lowest - precision + 1))}


@pytest.mark.parametrize("side", ["above", "below"])
@pytest.mark.parametrize(
    ("kernel", "place"), [("bce", "input"), ("bce", "target"), ("bce_with_logits", "target")]
)
def test_what_is_out_of_range_by_one_unit_in_the_last_place_is_out_of_range(
    backend: Backend[Any], dtype: str, kernel: str, place: str, side: str
) -> None:
    values = {"input": [0.5, 0.25, 0.5], "target": [0.0, 1.0, 0.5]}
    values[place][2] = neighbours(dtype)[side]
    operands = placed(backend, values, dtype)
    with pytest.raises(ValueError, match=rf"{place}\[2\] is .*, outside \[0, 1\] \(1 of 3 values are\)"):
        evaluated(backend, kernel, **operands, validate=True)
    for each in evaluated(backend, kernel, **operands, reduction="none", validate=False):
        assert np.isnan(each).tolist() == [False, False, True]


@kernels
@pytest.mark.parametrize("position", [0, 32_768, 40_000])
def test_one_bad_element_among_many_is_found(backend: Backend[Any], kernel: str, position: int) -> None:
    x, target = np.full(40_001, 0.25), np.arange(40_001) % 2.0
    target[position] = 2
    for reduction in REDUCTIONS:
        operands = on(backend, x, "float32"), on(backend, target, "float32")
        with pytest.raises(ValueError, match=rf"target\[{position}\] is 2\.0, .*\(1 of 40001"):
            LOSSES[kernel](*operands, reduction=reduction, validate=True)
        loss, gradient = evaluated(backend, kernel, *operands, reduction=reduction, validate=False)
        for each in (np.atleast_1d(loss), gradient):
            assert np.flatnonzero(np.isnan(each)).tolist() == [position if each.size > 1 else 0]


@kernels
def test_a_weight_of_0_takes_an_infinite_loss_away(backend: Backend[Any], dtype: str, kernel: str) -> None:
    far = {"input": [0, 1, 0.5] if kernel == "bce" else [-np.inf, np.inf, 0.5], "target": [1, 0, 1]}
    operands = placed(backend, far, dtype)
    weight = on(backend, [0, 0, 2], dtype)
    for options in ({"eps": 0.0}, {"eps": 1e-7}, {}) if kernel == "bce" else ({},):
        loss, gradient = evaluated(backend, kernel, **operands, weight=weight, reduction="none", **options)
        assert loss[:2].tolist() == gradient[:2].tolist() == [0, 0]
        assert np.isfinite(loss[2])
        loss, gradient = evaluated(backend, kernel, **operands, weight=0, **options)
        assert loss == 0
        assert not gradient.any()
        loss, gradient = evaluated(backend, kernel, **operands, pos_weight=0, reduction="none", **options)
        assert loss[0] == gradient[0] == 0


@kernels
def test_a_negative_weight_negates_loss_and_gradient(backend: Backend[Any], dtype: str, kernel: str) -> None:
    operands = placed(backend, {"input": [0.3, 0.6, 0.9], "target": [0, 1, 0.25]}, dtype)
    for reduction in REDUCTIONS:
        results = [
            evaluated(backend, kernel, **operands, weight=on(backend, weight, dtype), reduction=reduction)
            for weight in ([1, 3, 0.5], [-1, -3, -0.5])
        ]
        sign = 1 if reduction == "weighted_mean" else -1  # its divisor changes its sign too
        for plus, minus in zip(*results, strict=True):
            assert np.array_equal(plus, sign * minus)
            assert plus.any()


# Dtypes


@kernels
def test_labels_and_weights_of_every_integer_width_are_taken(
    backend: Backend[Any], dtype: str, kernel: str
) -> None:
    values = {"target": [0, 1, 1, 0], "weight": [1, 0, 1, 1], "pos_weight": [1, 1, 0, 1]}
    x = on(backend, VALUES["input"], dtype)
    right = evaluated(backend, kernel, x, **placed(backend, values, dtype), reduction="sum")
    for other in INTEGERS if dtype == "float32" else ("uint64",):
        if hasattr(backend.xp, other):
            found = evaluated(backend, kernel, x, **placed(backend, values, other), reduction="sum")
            assert all(np.array_equal(*each) for each in zip(right, found, strict=True)), other


@kernels
def test_a_label_of_2_is_out_of_range_in_every_integer_width(backend: Backend[Any], kernel: str) -> None:
    ones = {"weight": [1] * 4, "pos_weight": [1] * 4}  # so that a device compiles nothing anew
    x = on(backend, VALUES["input"], "float32")
    for other in INTEGERS[1:]:
        if not hasattr(backend.xp, other):
            continue
        for label in (2, int(np.iinfo(other).max), int(np.iinfo(other).min) or 3):
            target = backend.asarray(np.asarray([0, 1, label, 1], other))
            options = {**placed(backend, ones, other), "reduction": "sum"}
            with pytest.raises(ValueError, match=rf"target\[2\] is {label}, outside \[0, 1\]"):
                evaluated(backend, kernel, x, target, **options, validate=True)
            assert np.isnan(evaluated(backend, kernel, x, target, **options, validate=False)[0])


# Configuration


@pytest.mark.parametrize("eps", [0.1, 1e-12, 1e-50])
@pytest.mark.parametrize("labels", [[0.0, 1.0], [0.25, 0.75]], ids=["hard", "soft"])
def test_an_eps_that_the_dtype_can_not_hold_is_meant_as_it_is(
    backend: Backend[Any], dtype: str, eps: float, labels: list[float]
) -> None:
    points = rounded([0.0, 0.05, 0.0999, 0.11, 0.5, 0.89, 0.901, 0.95, 1.0], dtype)
    at = list(product(points.tolist(), labels))
    x, target = np.array(at).T
    operands = placed(backend, {"input": x, "target": target}, dtype)
    loss, gradient = evaluated(backend, "bce", **operands, eps=eps, reduction="none")
    right = exact("bce", LossSpec("none", eps=eps), [Element(*each) for each in at], dtype)
    bound = 2.0 if dtype == "float32" and not backend.host_values(operands["input"]) else LOSS_BOUND[dtype]
    for found, numbers, most in (
        (loss, right.loss, bound),
        (gradient, right.by_input, GRADIENT_BOUND[dtype]),
    ):
        error, where = worst(found, numbers, dtype)
        assert error <= most, f"{error:.2f} ULP in {where}"


# Shapes


@kernels
def test_if_all_is_ignored_there_is_no_loss_and_no_gradient(
    backend: Backend[Any], dtype: str, kernel: str
) -> None:
    sick = {"input": [0.5, np.nan, 7.0], "target": [-1, -1, -1], "weight": [1, np.nan, 2]}
    for reduction in REDUCTIONS:
        x, target, weight = (
            lucid.Tensor(each, requires_grad=True) for each in placed(backend, sick, dtype).values()
        )
        loss = LOSSES[kernel](x, target, weight, reduction, ignore_index=-1)
        loss.backward(backend.xp.ones_like(loss.data))
        if reduction in {"none", "sum"}:
            assert not host(loss, backend).any()
        else:
            assert np.isnan(host(loss, backend))
        for each in (x, target, weight):
            assert not host(each.grad, backend).any()


@kernels
@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0)], ids=str)
def test_an_empty_batch_has_an_empty_gradient(
    backend: Backend[Any], kernel: str, shape: tuple[int, ...]
) -> None:
    row = lucid.Tensor(on(backend, np.ones(shape[1:])))
    for reduction, weight in product(REDUCTIONS, (None, row)):
        x, target = (lucid.Tensor(on(backend, np.zeros(shape))) for _ in range(2))
        x.requires_grad = True
        loss = LOSSES[kernel](x, target, weight, reduction, pos_weight=weight)
        loss.backward(backend.xp.ones_like(loss.data))
        assert loss.shape == (shape if reduction == "none" else ())
        assert x.grad is not None
        assert (x.grad.shape, x.grad.dtype) == (shape, x.dtype)
        if reduction == "sum":
            assert host(loss, backend) == 0
        elif reduction != "none":
            assert np.isnan(host(loss, backend))


@kernels
def test_an_array_of_no_dimensions_is_one_element(backend: Backend[Any], kernel: str) -> None:
    one, nought = ({"input": wrap(0.3), "target": wrap(1.0)} for wrap in (lambda n: [n], float))
    for reduction, weight in product(REDUCTIONS, (None, 2, on(backend, 2))):
        options = {"weight": weight, "pos_weight": weight, "reduction": reduction}
        right = evaluated(backend, kernel, **placed(backend, one, "float32"), **options)
        found = evaluated(backend, kernel, **placed(backend, nought, "float32"), **options)
        for each, flat in zip(found, right, strict=True):
            assert each.shape == ()
            assert each == flat.reshape(())


SHAPES: dict[str, tuple[tuple[int, ...], tuple[int, ...], str]] = {
    "row_and_column": ((3,), (3, 1), r"input\.reshape\(3, 1\)"),
    "column_and_row": ((3, 1), (3,), r"target\.reshape\(3, 1\)"),
    "row_and_batch_of_one": ((3,), (1, 3), r"input\.reshape\(1, 3\)"),
    "number_and_array": ((1,), (), r"target\.reshape\(1\)"),
    "transposed": ((2, 3), (3, 2), r"must be equal$"),
    "as_many": ((4,), (2, 2), r"must be equal$"),
}


@kernels
@pytest.mark.parametrize("case", SHAPES)
def test_shapes_that_differ_are_named_and_never_broadcast(
    backend: Backend[Any], kernel: str, case: str
) -> None:
    input, target, message = SHAPES[case]
    with pytest.raises(ValueError, match=message):
        LOSSES[kernel](on(backend, np.full(input, 0.5)), on(backend, np.ones(target)))
