"""What operators, indexing and functions give, on every backend: NumPy's numbers, and one rule for dtypes."""

import operator

import array_api_compat.numpy as xp
import numpy as np
import pytest

import lucid
from lucid import _ops
from lucid._convert import dtype_name
from lucid.errors import MixedBackendError

A = np.array([[0.5, -1.25, 2.0], [3.0, 0.75, -0.5]])
B = np.array([1.5, 0.25, 2.0])

ARITHMETIC = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "**": lambda a, b: abs(a) ** b if isinstance(a, np.ndarray) else ((a * a) ** 0.5) ** b,
    "@": lambda a, b: a @ b,
}
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


def name_of(value):
    return dtype_name(value.dtype)


@pytest.mark.parametrize("symbol", ARITHMETIC)
def test_arithmetic_is_numpys(backend, symbol):
    compute = ARITHMETIC[symbol]
    np.testing.assert_allclose(compute(lucid.tensor(A), lucid.tensor(B)).numpy(), compute(A, B), rtol=1e-15)


@pytest.mark.parametrize("compare", COMPARISONS)
def test_comparison_is_elementwise(backend, compare):
    x = lucid.tensor(A, requires_grad=True)
    for other in (lucid.tensor(B), 0.75, 3, B.tolist()):
        expected = compare(A, other.numpy() if isinstance(other, lucid.Tensor) else other)
        result = compare(x, other)
        assert name_of(result) == "bool"
        assert not result.requires_grad
        np.testing.assert_array_equal(result.numpy(), expected)


def test_a_tensor_equals_nothing_that_is_no_number(backend):
    x = lucid.tensor([1.0])
    assert (x == None) is False  # noqa: E711  # the operator is what is tested
    assert x != "1.0"


@pytest.mark.parametrize("number", [True, 2, 0.5, np.float64(0.5), np.float32(0.5), np.int64(2)], ids=repr)
@pytest.mark.parametrize("width", ["float32", "float64"])
def test_a_number_takes_the_tensors_dtype(backend, width, number):
    x = lucid.tensor(B, dtype=width)
    plain = B.astype(width)
    for compute in (operator.add, operator.sub, operator.mul, operator.truediv, operator.pow):
        for result, expected in (
            (compute(x, number), compute(plain, float(number))),
            (compute(number, x), compute(float(number), plain)),
        ):
            assert name_of(result) == width
            np.testing.assert_allclose(result.numpy(), expected, rtol=2e-7)


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ("float32", "float64", "float64"),
        ("int64", "float32", "float32"),
        ("int64", "float64", "float64"),
        ("bool", "float32", "float32"),
        ("bool", "int64", "int64"),
        ("int32", "int64", "int64"),
        ("uint8", "int32", "int32"),
    ],
)
@pytest.mark.parametrize("shapes", [((3,), (3,)), ((), (3,)), ((3,), ()), ((), ())], ids=str)
def test_two_dtypes_make_the_same_one_on_every_backend(backend, left, right, expected, shapes):
    a, b = lucid.ones(shapes[0], dtype=left), lucid.ones(shapes[1], dtype=right)
    for result in (a + b, b + a, a * b, b - a):
        assert name_of(result) == expected
    assert (a == b).numpy().all()


def test_integers_that_meet_floats_or_are_divided_become_float32(backend):
    n = lucid.tensor([1, 2, 4])
    mask = n > 1
    for result, expected in (
        (n * 0.5, [0.5, 1, 2]),
        (0.5 - n, [-0.5, -1.5, -3.5]),
        (n / 2, [0.5, 1, 2]),
        (n / n, [1, 1, 1]),
        (1 / n, [1, 0.5, 0.25]),
        (n**0.5, [1, 2**0.5, 2]),
        (2.0**n, [2, 4, 16]),
        (n.mean(), 7 / 3),
        (mask.mean(), 2 / 3),
        (n * [0.5, 0.5, 0.5], [0.5, 1, 2]),
        ((n - 1).sigmoid(), [0.5, 1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-3))]),
    ):
        assert name_of(result) == "float32"
        np.testing.assert_allclose(result.numpy(), np.asarray(expected), rtol=3e-7)


def test_integers_and_booleans_are_counted_exactly(backend):
    n = lucid.tensor([1, 2, 4])
    for result, expected in (
        (n.sum(), 7),
        ((n > 1).sum(), 2),
        (n * 2 + True, [3, 5, 9]),
        ((n > 1) + 1, [1, 2, 2]),
    ):
        assert name_of(result) == "int64"
        np.testing.assert_array_equal(result.numpy(), expected)


def test_a_list_on_either_side_is_a_constant(backend):
    x = lucid.tensor(B, dtype="float32")
    for result, expected in (([1, 2, 3] * x, [1.5, 0.5, 6.0]), (x - (1.5, 0.25, 2.0), [0, 0, 0])):
        assert name_of(result) == "float32"
        assert result.tolist() == expected
    assert (B.tolist() @ lucid.tensor(np.eye(3))).tolist() == B.tolist()


def test_the_librarys_own_array_on_the_left_leaves_the_operation_to_the_tensor(backend):
    class Probe:
        __array_ufunc__ = None

        def __radd__(self, other):
            return self

    x, raw = lucid.tensor(B, requires_grad=True), backend.asarray(A)
    try:
        _ = raw + Probe()
    except TypeError:
        return  # the library's arrays leave no operation to anybody
    for symbol in "+-*/@":
        result = ARITHMETIC[symbol](raw, x)
        assert isinstance(result, lucid.Tensor)
        assert result.requires_grad
        np.testing.assert_allclose(result.numpy(), ARITHMETIC[symbol](A, B), rtol=1e-15)
    assert isinstance(raw < x, lucid.Tensor)


def test_a_numpy_scalar_on_the_left_leaves_the_operation_to_the_tensor(backend):
    result = np.float64(2.0) * lucid.tensor(B, dtype="float32")
    assert isinstance(result, lucid.Tensor)
    assert result.tolist() == [3.0, 0.5, 4.0]


def test_arrays_of_two_libraries_do_not_mix(backend):
    if backend.info.name == "numpy":
        other = pytest.importorskip("torch", reason="torch, a second library, is not installed").ones(3)
    else:
        other = np.ones(3)
    x = lucid.tensor(B)
    stranger = lucid.tensor([1.0, 1.0, 1.0], backend="numpy" if backend.info.name != "numpy" else "torch")
    for mixed in (lambda: x + other, lambda: other * x, lambda: x @ stranger, lambda: stranger < x):
        with pytest.raises(MixedBackendError, match="lives on backend") as caught:
            mixed()
        assert backend.info.name in str(caught.value)
    with pytest.raises(MixedBackendError):
        x[stranger > 0]


@pytest.mark.parametrize("value", ["2", None, 1j, {1.0}, len], ids=repr)
def test_what_is_no_number_is_refused_by_operators(backend, value):
    x = lucid.tensor(B)
    for compute in (operator.add, operator.truediv, operator.matmul, operator.lt):
        for operands in ((x, value), (value, x)):
            with pytest.raises(
                TypeError, match=r"not supported|unsupported operand|can only concatenate str"
            ):
                compute(*operands)


def test_another_class_may_answer_for_an_operator(backend):
    class Answer:
        def __radd__(self, other):
            return 42

    assert lucid.tensor(1.0) + Answer() == 42


@pytest.mark.parametrize("compute", [*(ARITHMETIC[symbol] for symbol in "+-*/"), operator.lt])
def test_shapes_that_do_not_fit_are_named(backend, compute):
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(2,\)"):
        compute(lucid.tensor(A), lucid.ones(2))


@pytest.mark.parametrize("right", [[1.0, 1.0], [[1.0, 1.0], [1.0, 1.0]], 2.0], ids=str)
def test_matrices_that_do_not_fit_are_refused(backend, right):
    for other in (right, lucid.tensor(right)):
        with pytest.raises(ValueError, match="@ takes"):
            lucid.tensor(A) @ other


KEYS = [
    *(0, -1, slice(None), slice(1, None), slice(None, None, 2), None, ..., ()),
    *((0, 1), (slice(None), 1), (..., 2), (None, 0), (1, ..., None), (slice(0, 0),), (0, slice(1, 3))),
]


@pytest.mark.parametrize("key", KEYS, ids=repr)
def test_indexing_is_numpys(backend, key):
    np.testing.assert_array_equal(lucid.tensor(A)[key].numpy(), A[key])


class Frozen(np.ndarray):
    """An array that can't be written to, as those of JAX."""

    def __setitem__(self, key, value):
        raise TypeError("this array is immutable")


@pytest.mark.parametrize("key", [*KEYS, A > 0, (A[:, 0] > 9), (slice(None), A[0] > 0)], ids=repr)
def test_the_gradient_of_indexing_needs_no_array_that_can_be_written_to(key):
    gradients = []
    for array in (A, A.view(Frozen)):
        result, (pullback,) = _ops.getitem(xp, array, key)
        gradients.append(pullback(xp.reshape(xp.arange(1.0, result.size + 1), result.shape)))
    np.testing.assert_array_equal(*gradients)


def test_masks_and_integers_of_any_make_are_keys(backend):
    x = lucid.tensor(A)
    np.testing.assert_array_equal(x[x > 0].numpy(), A[A > 0])
    np.testing.assert_array_equal(x[backend.asarray(A > 0)].numpy(), A[A > 0])
    np.testing.assert_array_equal(x[(A > 0).tolist()].numpy(), A[A > 0])
    for one in (np.int64(1), lucid.tensor(1)):
        np.testing.assert_array_equal(x[one].numpy(), A[1])
        np.testing.assert_array_equal(x[0, one].numpy(), A[0, 1])


@pytest.mark.parametrize("key", [1.0, "a", [0.5]], ids=repr)
def test_what_is_no_index_is_refused(backend, key):
    with pytest.raises(TypeError, match="no index"):
        lucid.tensor(A)[key]
    with pytest.raises(TypeError, match="no index"):
        lucid.tensor(A)[lucid.tensor([1.0])]


def test_an_index_out_of_range_ends_an_iteration(backend):
    with pytest.raises(IndexError):
        lucid.tensor(B)[3]
    assert [row.tolist() for row in lucid.tensor(A)] == A.tolist()
    for use in (len, iter):
        with pytest.raises(TypeError, match="no dimensions"):
            use(lucid.tensor(1.0))


@pytest.mark.parametrize("axis", [None, 0, 1, -1, (0, 1), (-1,)], ids=repr)
@pytest.mark.parametrize("keepdims", [False, True])
def test_sums_and_means_are_numpys(backend, axis, keepdims):
    x = lucid.tensor(A)
    np.testing.assert_allclose(x.sum(axis, keepdims=keepdims).numpy(), A.sum(axis, keepdims=keepdims))
    np.testing.assert_allclose(x.mean(axis, keepdims=keepdims).numpy(), A.mean(axis, keepdims=keepdims))


def test_the_sum_of_nothing_is_0_and_its_mean_nan(backend):
    assert lucid.zeros(0).sum().item() == 0
    assert np.isnan(lucid.zeros(0).mean().item())
    assert np.isnan(lucid.zeros(0, 2).mean(axis=0).numpy()).tolist() == [True, True]
    assert lucid.zeros(0, 2).mean(axis=1).shape == (0,)


@pytest.mark.parametrize("axis", [2, -3, (0, 5)], ids=repr)
def test_an_axis_out_of_range_is_an_error(backend, axis):
    with pytest.raises((ValueError, IndexError)):
        lucid.tensor(A).mean(axis)


@pytest.mark.parametrize("shape", [(6,), (3, 2), (-1,), (1, -1, 2)], ids=str)
def test_reshape_takes_a_shape_or_its_lengths(backend, shape):
    x = lucid.tensor(A)
    for result in (x.reshape(shape), x.reshape(*shape), x.reshape(list(shape))):
        np.testing.assert_array_equal(result.numpy(), A.reshape(shape))
    assert lucid.tensor([5.0]).reshape(()).item() == 5.0


def test_sigmoid_and_relu_bear_every_value(backend):
    x = lucid.tensor([-np.inf, -1e4, -1.0, -0.0, 0.0, 1.0, 1e4, np.inf, np.nan], dtype="float64")
    low = np.exp(-1) / (1 + np.exp(-1))
    np.testing.assert_allclose(
        x.sigmoid().numpy(), [0, 0, low, 0.5, 0.5, 1 / (1 + np.exp(-1)), 1, 1, np.nan], rtol=4e-16
    )
    np.testing.assert_array_equal(x.relu().numpy(), [0, 0, 0, 0, 0, 1, 1e4, np.inf, np.nan])
    assert lucid.tensor(-700.0, dtype="float64").sigmoid().item() == pytest.approx(np.exp(-700.0), rel=1e-13)
