"""What the kit's tests share: the marks that make cases, the promised bounds, operands, and measuring."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from mpmath import nstr
from numpy.typing import NDArray

import lucid
import lucid.nn.functional as F
from lucid._convert import resolve_dtype
from lucid.protocol import Backend, LossSpec
from lucid.testing.cases import KERNELS, OPTIONS, REDUCTIONS, REGIMES, Problem, problem
from lucid.testing.reference import Difference, Exact, exact, ulps

__all__ = [
    "GRADIENT_BOUND",
    "LOGITS_GRADIENT_BOUND",
    "LOGITS_LOSS_BOUND",
    "LOSSES",
    "LOSS_BOUND",
    "SUM_BOUND",
    "cases",
    "expected",
    "host",
    "kernels",
    "loss_bound",
    "on",
    "reductions",
    "tensors",
    "worst",
]

LOSSES: dict[str, Callable[..., Any]] = {
    "bce": F.binary_cross_entropy,
    "bce_with_logits": F.binary_cross_entropy_with_logits,
}

# Units in the last place, for an element on its own and for the sum of many.
LOSS_BOUND = {"float16": 0.51, "bfloat16": 0.51, "float32": 0.51, "float64": 2.0}
LOGITS_LOSS_BOUND = {"float16": 0.51, "bfloat16": 0.51, "float32": 3.0, "float64": 2.5}
DEVICE_LOSS_BOUND = {"float16": 0.51, "bfloat16": 0.51, "float32": 2.0, "float64": 2.0}
SUM_BOUND = {"float16": 0.51, "bfloat16": 0.51, "float32": 0.60, "float64": 1.5}
GRADIENT_BOUND = {"float16": 0.51, "bfloat16": 0.51, "float32": 1.0, "float64": 2.5}
LOGITS_GRADIENT_BOUND = {"float16": 0.51, "bfloat16": 0.51, "float32": 4.0, "float64": 3.5}

CASES = [
    (kernel, regime, option)
    for kernel in KERNELS
    for regime in REGIMES
    for option in OPTIONS
    if kernel == "bce" or "eps" not in OPTIONS[option].spec
]
cases: pytest.MarkDecorator = pytest.mark.parametrize(("kernel", "regime", "option"), CASES)
kernels: pytest.MarkDecorator = pytest.mark.parametrize("kernel", KERNELS)
reductions: pytest.MarkDecorator = pytest.mark.parametrize("reduction", REDUCTIONS)


@cache
def expected(kernel: str, regime: str, option: str, dtype: str, reduction: str) -> Exact:
    """Ask the oracle, once for all backends."""
    spec = LossSpec(reduction, **OPTIONS[option].spec)  # type: ignore[arg-type]  # the table's words are right
    return exact(kernel, spec, problem(kernel, regime, option, dtype).elements(), dtype)


def tensors(backend: Backend[Any], at: Problem, dtype: str, *, requires_grad: bool = True) -> list[Any]:
    """Put a problem on the backend, which is selected: input, target, weight, pos_weight."""
    made = [
        None if each is None else lucid.Tensor(each, dtype=dtype, requires_grad=requires_grad)
        for each in (at.x, at.target, at.weight)
    ]
    assert all(each is None or each.backend is backend for each in made)
    return [*made, None if at.pos_weight is None else lucid.Tensor(at.pos_weight, dtype=dtype)]


def on(backend: Backend[Any], values: Any, dtype: str = "float64") -> Any:
    """Make an array of the library's own."""
    return backend.asarray(np.asarray(values), dtype=resolve_dtype(backend, dtype))


def host(array: Any, backend: Backend[Any]) -> NDArray[np.float64]:
    """Bring an array or tensor to the host."""
    data = array.data if isinstance(array, lucid.Tensor) else array
    return np.asarray(backend.to_numpy(data), dtype=np.float64)


def worst(
    actual: NDArray[np.float64], right: list[Any], dtype: str, *, of_terms: bool = False
) -> tuple[float, str]:
    """Find the largest error, and say where it is."""
    values = actual.ravel().tolist()
    numbers = [each if isinstance(each, Difference) else Difference(each, 0) for each in right]
    errors = [
        ulps(value, number.value, dtype, number.larger if of_terms else 0)
        for value, number in zip(values, numbers, strict=True)
    ]
    if not errors:
        return 0.0, ""
    place = int(np.argmax(errors))
    should = nstr(numbers[place].value, 18)
    return errors[place], f"element {place}: {values[place]!r}, should be {should}"


def loss_bound(backend: Backend[Any], input: lucid.Tensor, kernel: str, dtype: str) -> float:
    """Look up what is allowed."""
    if kernel == "bce_with_logits":
        return LOGITS_LOSS_BOUND[dtype]
    return (LOSS_BOUND if backend.host_values(input.data) else DEVICE_LOSS_BOUND)[dtype]
