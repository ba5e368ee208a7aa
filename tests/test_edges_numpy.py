"""The edges that are NumPy's own: arrays that it can't compute on, and more elements than 32 bits count."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from lucid import nn
from lucid.tiling import BLOCK, blocks

BEYOND = 2**31 + 1
criteria = pytest.mark.parametrize("criterion", [nn.BCELoss, nn.BCEWithLogitsLoss])
halves = np.array([0.5, 0.5])


@criteria
@pytest.mark.parametrize(
    "array",
    [
        np.array([0.5, 1.0], object),
        np.array([0.5j, 1.0]),
        np.array(["0.5", "1"]),
        np.array(["2000-01-01"] * 2, "M8[D]"),
        np.zeros(2, [("p", "f8")]),
        np.ma.masked_array([0.5, 1.0], [True, False]),
    ],
    ids=["object", "complex", "text", "dates", "records", "masked"],
)
def test_an_array_of_no_real_numbers_is_refused_as_every_operand(criterion, array) -> None:
    for place in range(4):
        operands = [halves] * 4
        operands[place] = array
        input, target, weight, pos_weight = operands
        with pytest.raises(TypeError, match=r"expected an array of real numbers|mask would be lost"):
            criterion(weight, pos_weight=pos_weight)(input, target)


class Named(np.ndarray):
    """A subclass whose instances carry something along."""

    def __array_finalize__(self, source) -> None:
        self.name = getattr(source, "name", "probabilities")


class Unwilling(np.ndarray):
    """A subclass whose own arithmetic is none."""

    def __array_ufunc__(self, *arguments, **options):
        raise AssertionError("nobody should ask")


@criteria
@pytest.mark.parametrize("cls", [Named, Unwilling, np.recarray, np.memmap])
def test_an_instance_of_a_subclass_is_taken_for_the_array_that_it_is(criterion, cls) -> None:
    p, y = np.array([0.25, 0.5, 0.75]), np.array([0.0, 1.0, 1.0])
    right = criterion(reduction="none").value_and_grad(p, y)
    found = criterion(y.view(cls), reduction="none").value_and_grad(p.view(cls), y.view(cls))
    for plain, each in zip(right, found, strict=True):
        assert type(each) is np.ndarray
        assert np.array_equal(each, plain * y)


@pytest.mark.parametrize("shape", [(BEYOND,), (2, BEYOND), (BEYOND, 3), (3, 5, 2**28 + 1)], ids=str)
def test_blocks_of_more_elements_than_32_bits_count_leave_no_gap(shape) -> None:
    cut = list(blocks(shape, BLOCK))
    outer = shape[: len(cut[0]) - 1]
    ends = [block[-1] for block in cut]
    for before, after in pairwise(ends):
        assert after.start in {before.stop, 0}
        assert after.start > 0 or before.stop >= shape[len(outer)]
    assert sum(end.start == 0 for end in ends) == np.prod(outer, dtype=int)
    assert ends[-1].stop >= shape[len(outer)]


def mean_of_a_view(criterion, size, dtype) -> float:
    """Compute the mean over a view of one element, and see that no memory is needed for it."""
    x, y = np.broadcast_to(np.array(0.25, dtype), size), np.broadcast_to(np.uint8(0), size)
    tracemalloc.start()
    loss = criterion(x, y)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 1 << 26
    assert loss.dtype == dtype
    return float(loss)


def test_a_mean_whose_last_block_has_a_single_element_is_right() -> None:
    size = 8192 * 65528 + 1  # the least that is cut so, in float64
    right = -np.log1p(-0.25)
    assert abs(mean_of_a_view(nn.BCELoss(), size, np.float64) - right) <= 1.5 * np.spacing(right)


@pytest.mark.long
@criteria
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_mean_over_more_elements_than_32_bits_count_is_right(criterion, dtype) -> None:
    right = -np.log1p(-0.25) if criterion is nn.BCELoss else np.log1p(np.exp(0.25))
    unit = float(np.spacing(dtype(right)))
    assert abs(mean_of_a_view(criterion(), BEYOND, dtype) - right) <= 1.5 * unit
    assert abs(mean_of_a_view(criterion(weight=2.0), BEYOND, dtype) - 2 * right) <= 3 * unit
