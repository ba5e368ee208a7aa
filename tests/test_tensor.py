"""What a tensor is, how it goes out, and what changes and copies it, on every backend."""

import copy
import pickle

import numpy as np
import pytest

import lucid
from lucid._convert import dtype_name

A = np.array([[0.5, -1.25, 2.0], [3.0, 0.75, -0.5]])
B = np.array([1.5, 0.25, 2.0])


def name_of(value):
    return dtype_name(value.dtype)


def test_a_tensor_says_what_it_is(backend):
    x = lucid.Tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    assert (x.shape, x.ndim, x.size, len(x), name_of(x)) == ((1, 3), 2, 3, 1, "float32")
    assert x.backend is backend
    assert x.requires_grad
    assert x.grad is None


def test_it_goes_out_as_a_numpy_array_numbers_and_lists(backend):
    x = lucid.tensor(A, requires_grad=True)
    assert isinstance(x.numpy(), np.ndarray)
    np.testing.assert_array_equal(x.numpy(), A)
    np.testing.assert_array_equal(np.asarray(x, dtype="float32"), A.astype("float32"))
    assert np.asarray(x.sum()).shape == ()
    assert x.tolist() == A.tolist()
    assert x[1, 0].item() == 3.0
    assert (float(x[1, 0]), int(x[1, 0]), bool(x[1, 0])) == (3.0, 3, True)


def test_a_copy_that_numpy_asks_for_is_one(backend):
    x = lucid.tensor(A)
    np.array(x, copy=True)[:] = 7
    np.testing.assert_array_equal(x.numpy(), A)


def test_it_goes_out_by_dlpack(backend):
    for x in (lucid.tensor(A, requires_grad=True), lucid.tensor(A).sum()):
        if x.__dlpack_device__()[0] == 1:  # host memory
            np.testing.assert_array_equal(np.from_dlpack(x), x.numpy())


@pytest.mark.parametrize("data", [[], [1.0, 2.0], [[1.0]]], ids=str)
def test_only_a_tensor_of_one_element_is_a_number(backend, data):
    x = lucid.tensor(data)
    if x.size == 1:
        assert x.item() == 1.0
        return
    for convert in (lucid.Tensor.item, float, int, bool):
        with pytest.raises(ValueError, match="one element"):
            convert(x)


def test_the_data_of_every_result_is_the_librarys_own_array(backend):
    x = lucid.tensor([1.0, 2.0], requires_grad=True)
    total = (x * x).sum()
    total.backward()
    for result in (x, total, x[0], x[0] * x[1], total == 5, x.grad, x.grad.sum(), lucid.tensor(1.0) + 1):
        assert type(result.data) is type(x.data)
        assert type(result.numpy()) is np.ndarray


def test_its_repr_shows_values_dtype_and_whose_it_is(backend):
    own = "" if backend.info.name == "numpy" else f", backend={backend.info.name}"
    assert repr(lucid.tensor([0.5, 1.0])) == f"Tensor([0.5, 1. ], dtype=float32{own})"
    assert (
        repr(lucid.tensor(2.0, requires_grad=True)) == f"Tensor(2., dtype=float32{own}, requires_grad=True)"
    )
    assert repr(lucid.tensor([[1], [2]])) == f"Tensor([[1],\n        [2]], dtype=int64{own})"
    assert repr(lucid.zeros(0, 3)) == f"Tensor([], shape=(0, 3), dtype=float32{own})"


def test_tensors_are_hashed_by_identity(backend):
    x, y = lucid.tensor([1.0, 2.0]), lucid.tensor([1.0, 2.0])
    assert len({x, y, x}) == 2
    assert {x: 1}[x] == 1


@pytest.mark.parametrize("target", ["float32", "float64", "int64", "bool"])
def test_astype_converts_by_name_or_by_the_librarys_own_dtype(backend, target):
    x = lucid.tensor(A)
    for wanted in (target, getattr(backend.xp, target)):
        assert name_of(x.astype(wanted)) == target
    np.testing.assert_array_equal(x.astype(target).numpy(), A.astype(target))


def test_an_update_in_place_keeps_the_object_its_dtype_and_the_array_that_others_see(backend):
    x = lucid.tensor(B, dtype="float32")
    before, seen = x, x.detach()
    x += 1
    x -= lucid.tensor([0.5, 0.5, 0.5], dtype="float64")
    x *= 2.0
    x /= [2.0, 2.0, 2.0]
    x **= 1
    assert x is before
    assert name_of(x) == "float32"
    np.testing.assert_allclose(x.numpy(), B + 0.5)
    np.testing.assert_array_equal(seen.numpy(), B)


def test_an_update_in_place_changes_neither_shape_nor_kind(backend):
    x, n = lucid.tensor(B), lucid.tensor([1, 2, 3])
    with pytest.raises(ValueError, match="shape"):
        x += lucid.tensor(A)
    with pytest.raises(TypeError, match="float32 values"):
        n *= 0.5
    with pytest.raises(TypeError, match="unsupported operand"):
        x += "1"
    n += 1
    assert n.tolist() == [2, 3, 4]


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_copied_or_pickled_tensor_has_the_same_values_and_is_a_leaf(backend, copied):
    for x in (
        lucid.tensor(A, requires_grad=True),
        lucid.tensor([1, 2]),
        lucid.tensor(1.0, dtype="float64"),
        lucid.tensor([], dtype="float32"),
        lucid.nn.Parameter([1.0], requires_grad=False),
    ):
        twin = copied(x)
        assert type(twin) is type(x)
        assert twin.backend is backend
        assert (twin.shape, twin.dtype, twin.requires_grad) == (x.shape, x.dtype, x.requires_grad)
        assert twin.tolist() == x.tolist()
        assert twin.data is not x.data
    result = lucid.tensor(A, requires_grad=True) * 2
    assert not copied(result).requires_grad


def test_every_floating_dtype_survives_pickle(backend, dtype):
    x = lucid.tensor([1.5, 3.0], dtype=dtype)
    assert pickle.loads(pickle.dumps(x)).dtype == x.dtype


def test_a_deep_copy_has_a_gradient_of_its_own(backend):
    x = lucid.tensor(B, requires_grad=True)
    (x * 2).sum().backward()
    twin = copy.deepcopy(x)
    (twin * 3).sum().backward()
    assert (x.grad.tolist(), twin.grad.tolist()) == ([2, 2, 2], [5, 5, 5])
