"""Sums without rounding errors, on every backend: compared with Python's fractions."""

from fractions import Fraction
from math import inf, isnan, nan

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lucid._exact import ONE, ExactSum, exact_sum
from lucid.testing.harness import host, on

often = settings(
    deadline=None,
    max_examples=60,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def value(sum_: ExactSum) -> Fraction:
    return Fraction(sum_.units, 2**1074)


@often
@given(st.lists(FINITE, min_size=1, max_size=40), st.integers(1, 5))
@example([5e-324, 1.7976931348623157e308, -5e-324, 5e-324], 1)
@example([1.0, 2.0**-53, -1.0, 2.0**-1074, 2.0**600, -(2.0**600)], 3)
@example([0.0, -0.0], 1)
def test_sums_of_all_magnitudes_are_exact(backend, numbers, times) -> None:
    values = on(backend, np.tile(numbers, times))
    assert value(exact_sum(backend, values)) == times * sum(map(Fraction, numbers))
    assert host(values, backend).tolist() == numbers * times  # not written to


@pytest.mark.parametrize("shape", [(), (1,), (70_001,), (300, 7, 33)])
def test_sums_of_all_shapes_are_exact(backend, shape) -> None:
    random = np.random.default_rng(1)
    numbers = random.normal(size=shape) * 2.0 ** random.integers(-60, 60, shape)
    exact = sum(map(Fraction, numbers.ravel().tolist()))
    assert value(exact_sum(backend, on(backend, numbers))) == exact


def test_what_is_not_finite_is_counted_and_the_rest_added(backend) -> None:
    found = exact_sum(backend, on(backend, [inf, 0.5, nan, -inf, inf, -0.25]))
    assert found == ExactSum(ExactSum.of(0.25).units, nans=1, above=2, below=1)


@pytest.mark.parametrize(
    ("sum_", "rounded"),
    [
        (ExactSum(), 0.0),
        (ExactSum.of(-0.1), -0.1),
        (ExactSum(1), 5e-324),
        (ExactSum(ONE.units + 2**1021 + 1), 1 + 2.0**-52),  # hardly more than halfway
        (ExactSum(ONE.units + 2**1021), 1.0),  # halfway: to even
        (ExactSum(2 * ExactSum.of(1.7e308).units), inf),
        (ExactSum(-2 * ExactSum.of(1.7e308).units), -inf),
        (ExactSum(1, above=1), inf),
        (ExactSum(1, below=3), -inf),
        (ExactSum(1, above=1, below=1), nan),
        (ExactSum(1, nans=1, above=1), nan),
    ],
)
def test_a_sum_is_rounded_once(sum_, rounded) -> None:
    assert float(sum_) == rounded or (isnan(float(sum_)) and isnan(rounded))


@pytest.mark.parametrize(
    ("above", "below", "quotient"),
    [
        (1.0, 3.0, 1 / 3),
        (1.7e308, 1e-5, inf),
        (-1.7e308, 1e-5, -inf),
        (1.7e308, -1e-5, -inf),
        (1.0, 0.0, nan),
        (0.0, 0.0, nan),
        (5e-324, 5e-324, 1.0),
    ],
)
def test_a_quotient_is_rounded_once_and_nan_over_nothing(above, below, quotient) -> None:
    found = ExactSum.of(above).over(ExactSum.of(below))
    assert found == quotient or (isnan(found) and isnan(quotient))


def test_a_quotient_of_infinities_is_that_of_floats() -> None:
    infinite = ExactSum(above=1)
    assert infinite.over(ONE) == inf
    assert infinite.over(ExactSum.of(-2.0)) == -inf
    assert ONE.over(infinite) == 0
    assert isnan(infinite.over(infinite))
    assert isnan(infinite.over(ExactSum()))
    assert isnan(ONE.over(ExactSum(nans=1)))
