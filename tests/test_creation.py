"""Tensors from data, from a shape, and from chance, on every backend."""

import array

import numpy as np
import pytest

import lucid
from lucid._convert import dtype_name

SHAPED = {"zeros": lucid.zeros, "ones": lucid.ones, "rand": lucid.rand, "randn": lucid.randn}


def name_of(value):
    return dtype_name(value.dtype)


class Series:
    """What other libraries offer: neither sequence nor known array, but NumPy can read it."""

    def __repr__(self):
        return "Series"

    def __array__(self, dtype=None, copy=None):
        return np.array([1.0, 2.0], dtype=dtype)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (1.5, "float32"),
        (2, "int64"),
        (True, "bool"),
        ([0.5, 1], "float32"),
        ([[1, 2], [3, 4]], "int64"),
        ([], "float32"),
        ((True, False), "bool"),
        (range(3), "int64"),
        (array.array("d", [1.0, 2.0]), "float32"),
        (np.array([0.5], dtype="float64"), "float64"),
        (np.array(0.5, dtype="float32"), "float32"),
        (np.float64(0.5), "float64"),
        (np.uint8(3), "uint8"),
        (Series(), "float32"),
    ],
    ids=repr,
)
def test_what_data_becomes(backend, data, expected):
    for make in (lucid.tensor, lucid.Tensor):
        x = make(data)
        assert x.backend is backend
        assert name_of(x) == expected
        np.testing.assert_array_equal(x.numpy(), np.asarray(data))


@pytest.mark.parametrize("wanted", ["float32", "float64", "int32", "bool"])
def test_a_dtype_is_a_name_or_the_librarys_own(backend, wanted):
    for dtype in (wanted, getattr(backend.xp, wanted)):
        assert name_of(lucid.tensor([0, 1, 1], dtype=dtype)) == wanted
        assert name_of(lucid.zeros(2, dtype=dtype)) == wanted


def test_an_array_of_the_librarys_own_stays_with_it_and_is_copied(backend):
    raw = backend.asarray(np.array([1.0, 2.0]))
    with lucid.use_backend("numpy"):
        x = lucid.tensor(raw)
    assert x.backend is backend
    raw[0] = 7.0
    assert x.tolist() == [1, 2]


def test_numpy_arrays_of_any_layout_are_copied(backend):
    source = np.arange(12.0).reshape(3, 4)
    layouts = [source, source.T, source[::-1, ::2], source.astype(">f8"), np.asfortranarray(source)]
    for data in layouts:
        expected = data.copy()
        x = lucid.tensor(data)
        np.testing.assert_array_equal(x.numpy(), expected)
    source[:] = -1
    assert (lucid.tensor(layouts[0]).numpy() == -1).all()
    assert (x.numpy() >= 0).all()


def test_a_tensor_is_copied_off_the_tape_and_to_another_backend_only_if_asked(backend):
    x = lucid.tensor([1.0, 2.0], dtype="float64", requires_grad=True)
    with lucid.use_backend("numpy"):
        same, moved = lucid.tensor(x * 2), lucid.tensor(x, backend="numpy", dtype="float32")
    assert (same.backend, moved.backend.info.name) == (backend, "numpy")
    assert (same.tolist(), moved.tolist()) == ([2, 4], [1, 2])
    assert (name_of(same), name_of(moved)) == ("float64", "float32")
    assert not same.requires_grad
    back = lucid.tensor(moved, backend=backend.info.name)
    assert back.backend is backend


@pytest.mark.parametrize("data", ["abc", None, [None], 1j, len, {1.0}, [2**70], b"x"], ids=repr)
def test_what_is_no_number_is_refused(backend, data):
    with pytest.raises(TypeError, match="expected numbers"):
        lucid.tensor(data)


def test_rows_of_different_lengths_are_refused(backend):
    with pytest.raises(ValueError, match="inhomogeneous"):
        lucid.tensor([[1.0], [1.0, 2.0]])


def test_an_array_of_a_library_that_nobody_offers_says_what_to_do(backend):
    class Foreign:
        shape = (1,)

        def __dlpack__(self):
            raise AssertionError("nothing is converted silently")

    with pytest.raises(TypeError, match=r"no installed backend takes a .*Foreign.*numpy.from_dlpack"):
        lucid.tensor(Foreign())


@pytest.mark.parametrize("name", ["float33", "str"])
def test_an_unknown_dtype_is_named(backend, name):
    with pytest.raises(TypeError, match=name):
        lucid.tensor([1.0], dtype=name)


def test_zeros_and_ones_are_what_they_say(backend):
    assert lucid.zeros(2, 2).tolist() == [[0, 0], [0, 0]]
    assert lucid.ones(3).tolist() == [1, 1, 1]


@pytest.mark.parametrize("make", SHAPED.values(), ids=SHAPED)
def test_a_shape_is_given_in_any_of_the_usual_ways(backend, make):
    for shape, expected in (
        ((2, 3), (2, 3)),
        (((2, 3),), (2, 3)),
        (([2, 3],), (2, 3)),
        ((np.int64(2),), (2,)),
        ((np.array([2, 3]),), (2, 3)),
        ((), ()),
        (((),), ()),
        ((0, 4), (0, 4)),
    ):
        assert make(*shape).shape == expected
    for wrong in ((2.0,), ("2",), ((2, 3), 4)):
        with pytest.raises(TypeError):
            make(*wrong)


@pytest.mark.parametrize("make", SHAPED.values(), ids=SHAPED)
def test_a_shape_takes_a_dtype_a_backend_and_a_gradient(backend, make):
    x = make(2, requires_grad=True)
    assert (name_of(x), x.requires_grad, x.backend) == ("float32", True, backend)
    with lucid.use_backend("numpy"):
        x = make(2, dtype="float64", backend=backend.info.name)
    assert (name_of(x), x.requires_grad, x.backend) == ("float64", False, backend)


def test_a_seed_gives_the_same_numbers_on_every_backend(backend):
    lucid.manual_seed(7)
    drawn = [lucid.rand(2, 3), lucid.randn(4), lucid.randint(0, 10, (5,)), lucid.rand()]
    generator = np.random.default_rng(7)
    expected = [
        generator.random((2, 3)).astype("float32"),
        generator.standard_normal(4).astype("float32"),
        generator.integers(0, 10, 5),
        np.float32(generator.random()),
    ]
    for x, numbers in zip(drawn, expected, strict=True):
        np.testing.assert_array_equal(x.numpy(), numbers)


def test_without_a_seed_numbers_go_on(backend):
    lucid.manual_seed(7)
    first = lucid.rand(3).tolist()
    assert lucid.rand(3).tolist() != first
    lucid.manual_seed(7)
    assert lucid.rand(3).tolist() == first


def test_random_integers_keep_within_their_bounds(backend):
    x = lucid.randint(-2, 3, (1000,))
    assert name_of(x) == "int64"
    assert sorted(set(x.tolist())) == [-2, -1, 0, 1, 2]
    assert lucid.randint(0, 2, 3, dtype="float32").shape == (3,)
    assert lucid.randint(5, 6, ()).item() == 5
    with pytest.raises(ValueError, match="low >= high"):
        lucid.randint(3, 3, (2,))


def test_random_numbers_have_the_distribution_they_name(backend):
    lucid.manual_seed(0)
    uniform, normal = lucid.rand(10_000).numpy(), lucid.randn(10_000).numpy()
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.02
    assert abs(normal.mean()) < 0.04
    assert abs(normal.std() - 1) < 0.04
