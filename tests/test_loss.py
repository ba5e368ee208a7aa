"""The losses' front end: configuration, kinds, and NumPy arrays of every sort."""

import pickle
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

import lucid
import lucid.nn.functional as F
from lucid import nn

P = np.array([0.25, 0.5, 0.875])
Y = np.array([0.0, 1.0, 1.0])
LOSSES = {"bce": nn.BCELoss, "bce_with_logits": nn.BCEWithLogitsLoss}
losses = pytest.mark.parametrize("criterion", LOSSES.values(), ids=LOSSES)


def unreduced(p: float, y: float) -> float:
    return float(-np.log(p) if y else -np.log1p(-p))


# Configuration


def test_attributes_read_back() -> None:
    weight = lucid.tensor([1.0, 2.0])
    criterion = nn.BCELoss(
        weight, "sum", 1e-7, pos_weight=2, label_smoothing=0.1, ignore_index=-1, validate=True
    )
    assert criterion.weight is weight
    assert (criterion.reduction, criterion.eps, criterion.pos_weight) == ("sum", 1e-7, 2)
    assert (criterion.label_smoothing, criterion.ignore_index, criterion.validate) == (0.1, -1, True)
    assert repr(criterion) == (
        "BCELoss(weight=<shape (2,)>, reduction='sum', eps=1e-07, pos_weight=2, label_smoothing=0.1, "
        "ignore_index=-1, validate=True)"
    )


@losses
def test_repr_is_empty_for_defaults(criterion: type[nn.Module]) -> None:
    assert repr(criterion()) == f"{criterion.__name__}()"


def test_attributes_can_be_changed_later() -> None:
    criterion = nn.BCELoss()
    criterion.reduction = "sum"
    assert criterion(P, Y) == nn.BCELoss(reduction="sum")(P, Y)
    criterion.reduction = "average"
    with pytest.raises(ValueError, match="reduction is 'average'"):
        criterion(P, Y)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"reduction": "avg"}, "reduction is 'avg'"),
        ({"eps": 0.5}, "eps is 0.5"),
        ({"eps": -1e-7}, "eps is -1e-07"),
        ({"eps": float("nan")}, "eps is nan"),
        ({"label_smoothing": 1.5}, "label_smoothing is 1.5"),
        ({"label_smoothing": float("nan")}, "label_smoothing is nan"),
        ({"ignore_index": float("nan")}, "ignore_index is nan"),
    ],
)
def test_parameters_out_of_range_are_named(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        nn.BCELoss(**arguments)
    with pytest.raises(ValueError, match=message):
        F.binary_cross_entropy(P, Y, **arguments)


@losses
@pytest.mark.parametrize(
    ("size_average", "reduce", "reduction"),
    [
        (True, None, "mean"),
        (False, None, "sum"),
        (None, False, "none"),
        (False, False, "none"),
        (None, True, "mean"),
    ],
)
def test_legacy_arguments_override_reduction_and_warn(
    criterion: type[nn.BCELoss], size_average: bool, reduce: bool, reduction: str
) -> None:
    with pytest.warns(DeprecationWarning, match=f"use reduction='{reduction}'") as caught:
        made = criterion(reduction="sum", size_average=size_average, reduce=reduce)
    assert made.reduction == reduction
    assert caught[0].filename == __file__


@losses
def test_criteria_can_be_copied_and_pickled(criterion: type[nn.BCELoss]) -> None:
    made = criterion(weight=np.array([1.0, 2.0, 3.0]), reduction="sum")
    for copy in (deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert repr(copy) == repr(made)
        assert copy(P, Y) == made(P, Y)


# What comes back


def test_numbers_give_a_number_and_lists_a_list() -> None:
    assert nn.BCELoss()(0.25, 0) == pytest.approx(unreduced(0.25, 0))
    assert nn.BCELoss()(1, 1) == 0.0
    assert nn.BCELoss(reduction="none")([0.25, 0.5], [0, 1]) == pytest.approx(
        [unreduced(0.25, 0), unreduced(0.5, 1)]
    )
    loss, gradient = nn.BCELoss().value_and_grad([0.25, 0.5], [0, 1])
    assert gradient == pytest.approx([1 / 0.75 / 2, -1 / 0.5 / 2])
    assert isinstance(loss, float)


def test_lists_beside_an_array_take_its_dtype() -> None:
    loss = nn.BCELoss(weight=[1, 2, 3])(P.astype(np.float32), [0, 1, 1])
    assert loss.dtype == np.float32
    assert nn.BCELoss()([0.25, 0.5, 0.875], Y.astype(np.float32)).dtype == np.float32


def test_numpy_scalars_are_arrays_of_no_dimensions() -> None:
    loss = nn.BCELoss()(np.float32(0.25), np.int64(0))
    assert isinstance(loss, np.ndarray)
    assert loss.dtype == np.float32
    assert loss.shape == ()


def test_a_tensor_beside_an_array_gives_a_tensor() -> None:
    tensor = lucid.tensor(P, requires_grad=True)
    loss = nn.BCELoss()(tensor, Y)
    assert isinstance(loss, lucid.Tensor)
    loss.backward()
    assert tensor.grad is not None


def test_a_weight_gets_a_gradient_of_its_own_shape() -> None:
    x = lucid.tensor(np.full((4, 3), 0.25))
    weight = lucid.tensor([1.0, 2.0, 3.0], dtype="float64", requires_grad=True)
    nn.BCELoss(weight, "sum")(x, np.zeros((4, 3))).backward()
    assert weight.grad is not None
    assert weight.grad.numpy() == pytest.approx([4 * unreduced(0.25, 0)] * 3)


def test_a_weight_is_a_number_or_broadcasts() -> None:
    x, y = np.full((2, 3), 0.25), np.zeros((2, 3))
    one = unreduced(0.25, 0)
    for weight in (2, 2.0, [2, 2, 2], [[2], [2]], np.full((1, 1), 2)):
        assert nn.BCELoss(weight, "none")(x, y) == pytest.approx(np.full((2, 3), 2 * one))


def test_a_pos_weight_that_wants_a_gradient_is_refused() -> None:
    with pytest.raises(ValueError, match=r"pos_weight\.detach\(\)"):
        nn.BCELoss(pos_weight=lucid.tensor(2.0, requires_grad=True))(lucid.tensor(P), Y)


def test_no_gradient_is_recorded_under_no_grad() -> None:
    tensor = lucid.tensor(P, requires_grad=True)
    with lucid.no_grad():
        assert not nn.BCELoss()(tensor, Y).requires_grad


# NumPy arrays of every sort


class Subclass(np.ndarray):
    """A class that the backend does not know."""


def mapped(array: np.ndarray, path: Path) -> np.ndarray:
    file = path / f"{len(list(path.iterdir()))}.npy"
    np.save(file, array)
    return np.load(file, mmap_mode="r")


STORED = {
    "negative strides": lambda a, _: np.ascontiguousarray(a[::-1])[::-1],
    "byte-swapped": lambda a, _: a.astype(a.dtype.newbyteorder()),
    "read-only": lambda a, _: np.frombuffer(a.tobytes(), a.dtype),
    "memory-mapped": mapped,
    "subclass": lambda a, _: a.view(Subclass),
    "unaligned": lambda a, _: np.frombuffer(b"x" + a.tobytes(), a.dtype, offset=1),
}


@losses
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("store", STORED)
def test_how_an_array_is_stored_does_not_change_a_bit(
    criterion: type[nn.BCELoss], dtype: type, store: str, tmp_path: Path
) -> None:
    p, y = P.astype(dtype), Y.astype(dtype)
    p_stored, y_stored = STORED[store](p, tmp_path), STORED[store](y, tmp_path)
    for reduction in ("none", "mean"):
        made = criterion(reduction=reduction)
        for right, stored in zip(
            made.value_and_grad(p, y), made.value_and_grad(p_stored, y_stored), strict=True
        ):
            assert type(stored) is np.ndarray
            assert stored.dtype == dtype
            assert np.array_equal(right, stored)


def test_large_arrays_are_blocks_with_the_same_numbers() -> None:
    random = np.random.default_rng(0)
    p, y = random.random((3, 40_001)), random.integers(0, 2, (3, 40_001)).astype(np.uint8)
    losses = nn.BCELoss(reduction="none")(p, y)
    assert losses == pytest.approx(np.where(y == 1, -np.log(p), -np.log1p(-p)), rel=1e-15, abs=0)
    for transposed in (False, True):
        args = (np.asfortranarray(p), np.asfortranarray(y)) if transposed else (p, y)
        assert nn.BCELoss()(*args) == np.float64(
            np.sum(np.sort(losses.ravel()).astype(np.longdouble)) / p.size
        )


def test_masked_and_object_arrays_are_refused_with_a_reason() -> None:
    masked = np.ma.masked_array(P, [False, True, False])
    with pytest.raises(TypeError, match=r"mask would be lost.*ignore_index"):
        nn.BCELoss()(masked, Y)
    for dtype in (object, np.complex128):
        with pytest.raises(TypeError, match="expected an array of real numbers"):
            nn.BCELoss()(P.astype(dtype), Y)


def test_text_and_ragged_lists_are_refused() -> None:
    with pytest.raises(TypeError, match="expected numbers"):
        nn.BCELoss()(["a"], [1])
    with pytest.raises(ValueError, match="inhomogeneous"):
        nn.BCELoss()([[0.5], [0.5, 0.5]], [1])


def test_the_target_may_share_memory_with_the_input() -> None:
    p = np.array([0.25, 0.75])
    assert nn.BCELoss(reduction="none")(p, p) == pytest.approx([0.5623351446188083] * 2)
    assert p.tolist() == [0.25, 0.75]


def test_nothing_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for eps in (None, 0.0, 1e-7):
            nn.BCELoss(eps=eps).value_and_grad(np.array([0.0, 1.0, 0.0, np.nan]), np.array([1, 0, 0, 1]))
        nn.BCEWithLogitsLoss().value_and_grad(np.array([np.inf, -np.inf, 1e300]), np.array([1, 1, 0]))
        assert (
            nn.BCELoss(reduction="sum")(
                np.full(10, 0, np.float16),
                np.ones(10),
            )
            == 1000
        )
        assert np.isposinf(nn.BCELoss(reduction="sum")(np.zeros(1000, np.float16), np.ones(1000)))


# Small facts that semantics fixes


@pytest.mark.parametrize(
    ("dtype", "lowest"), [(np.float16, 2.0**-14), (np.float32, 2.0**-126), (np.float64, 2.0**-1022)]
)
def test_the_gradient_at_a_wrong_certainty_is_finite(dtype: type, lowest: float) -> None:
    _, gradient = nn.BCELoss(reduction="sum").value_and_grad(np.array([0, 1], dtype), [1, 0])
    assert gradient.tolist() == [-1 / lowest, 1 / lowest]


def test_a_term_whose_coefficient_is_0_is_0() -> None:
    assert nn.BCELoss(eps=0.0, reduction="none")([0.0, 1.0], [0, 1]) == [0.0, 0.0]
    assert nn.BCELoss(eps=0.0)([0.0], [1]) == np.inf
    assert nn.BCELoss(weight=0.0, eps=0.0)([0.0], [1]) == 0.0
    assert nn.BCEWithLogitsLoss(reduction="none")([np.inf, -np.inf], [1, 0]) == [0.0, 0.0]


def test_tails_of_the_logits_keep_their_digits() -> None:
    _, gradient = nn.BCEWithLogitsLoss(pos_weight=3.7).value_and_grad(np.array([50.0]), [1])
    assert gradient == pytest.approx([-3.7 * np.exp(-50.0)], rel=1e-15)
    assert nn.BCEWithLogitsLoss()(np.float32(-20.0), 0) == pytest.approx(2.0611537e-09, rel=1e-7)


def test_clipping_counts_from_both_ends_even_where_the_dtype_can_not_hold_it() -> None:
    loss = nn.BCELoss(eps=1e-12, reduction="none")(np.array([0, 1], np.float32), [1, 0])
    assert loss == pytest.approx([-np.log(1e-12)] * 2)


@losses
@pytest.mark.parametrize("reduction", ["sum", "mean", "weighted_mean"])
def test_an_ignored_element_counts_for_nothing_even_with_a_weight_of_nan(
    criterion: type[nn.BCELoss], reduction: str
) -> None:
    made = criterion(np.array([1.0, np.nan, 2.0]), reduction, ignore_index=-1)
    loss, gradient = made.value_and_grad(P, np.array([0, -1, 1]))
    kept = criterion(np.array([1.0, 2.0]), reduction)
    assert loss == pytest.approx(kept(P[[0, 2]], np.array([0, 1])))
    assert gradient[1] == 0
