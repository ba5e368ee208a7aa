"""Gradients: each operation's against finite differences, and the tape that joins them, on every backend."""

import gc
import threading
import weakref
from itertools import product

import numpy as np
import pytest

import lucid
import lucid.nn.functional as F

BROADCASTS = [
    *(((3,), (3,)), ((2, 3), (3,)), ((2, 1), (1, 3)), ((), (2, 3)), ((2, 3), ()), ((), ())),
    *(((4, 1, 3), (2, 1)), ((1,), (5,)), ((1, 3), (0, 3)), ((0,), ())),
]
MATRICES = [
    *(((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 2)), ((2, 3), (3, 4)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2))),
    *(((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (4, 3, 2))),
    *(((2, 0), (0, 3)), ((0, 3), (3, 2)), ((0,), (0,))),
]
LAYERS = [
    *(((5, 3), (2, 3), (2,)), ((3,), (2, 3), (2,)), ((4, 5, 3), (2, 3), (2,)), ((5, 3), (2, 3))),
    *(((0, 3), (2, 3), (2,)), ((2, 0), (3, 0), (3,)), ((2, 3), (0, 3), (0,))),
]
SHAPES = [(), (3,), (2, 3), (2, 0)]
KEYS = [
    *(0, -1, slice(1, None), slice(None, None, 2), None, ..., (0, 1), (slice(None), 1), (..., None, 2)),
    *(slice(0, 0), (slice(None, None, 3), slice(0, 2))),
]

# Operands are uniform in [0.3, 1.7), so that powers and quotients exist; `a - 1` has both signs.
BINARY = {
    "a + b": lambda a, b: a + b,
    "a - b": lambda a, b: a - b,
    "a * b": lambda a, b: a * b,
    "a / b": lambda a, b: a / b,
    "a ** b": lambda a, b: a**b,
    "float32 a * b": lambda a, b: a * b.astype("float64"),
}
UNARY = {
    "-a": lambda a: -a,
    "a + 2": lambda a: a + 2,
    "2 + a": lambda a: 2 + a,
    "a - 0.5": lambda a: a - 0.5,
    "0.5 - a": lambda a: 0.5 - a,
    "a * 3": lambda a: a * 3,
    "True * a": lambda a: True * a,
    "a / 2": lambda a: a / 2,
    "2 / a": lambda a: 2 / a,
    "a ** 2": lambda a: a**2,
    "a ** -1": lambda a: a**-1,
    "a ** 0.5": lambda a: a**0.5,
    "a ** 0": lambda a: a**0,
    "(a - 1) ** 3": lambda a: (a - 1) ** 3,
    "2 ** a": lambda a: 2**a,
    "0.5 ** a": lambda a: 0.5**a,
    "0 ** a": lambda a: 0**a,
    "sigmoid": lambda a: (4 * (a - 1)).sigmoid(),
    "relu": lambda a: (a - 1).relu(),
    "astype": lambda a: a.astype("float64"),
    "sum": lambda a: a.sum(),
    "mean": lambda a: a.mean() if a.size else a.sum(),
    "reshape": lambda a: a.reshape(1, -1) if a.size else a.reshape(0, 7),
    "one tensor twice": lambda a: a * a + a / a,
    "mask": lambda a: a[a > 1],
    "list": lambda a: a * [0.5],
}
CASES = {
    **{f"{name} {shapes}": (BINARY[name], shapes) for name, shapes in product(BINARY, BROADCASTS)},
    **{f"{name} {shape}": (UNARY[name], (shape,)) for name, shape in product(UNARY, SHAPES)},
    **{f"a @ b {shapes}": (lambda a, b: a @ b, shapes) for shapes in MATRICES},
    **{f"linear {shapes}": (F.linear, shapes) for shapes in LAYERS},
    **{f"a[{key}]": (lambda a, key=key: a[key], ((3, 4),)) for key in KEYS},
    **{
        f"{name}({axis}, {keepdims})": (
            lambda a, name=name, axis=axis, keepdims=keepdims: getattr(a, name)(axis, keepdims=keepdims),
            ((2, 3, 4),),
        )
        for name, axis, keepdims in product(
            ("sum", "mean"), (None, 0, -1, (0, 2), (-2, 0), (0, 1, 2)), (False, True)
        )
    },
}


def value(operation, arrays, weights=None):
    """Weigh the elements of a result, so that each has a gradient of its own."""
    result = operation(*arrays)
    if weights is None:
        weights = np.random.default_rng(1).uniform(-1, 1, result.shape)
    return (result * lucid.tensor(weights)).sum()


def differences(operation, arrays, step=1e-6):
    """Compute the central differences of `value` by each element of each array."""
    for number, array in enumerate(arrays):
        result = np.zeros(array.shape)
        for place in np.ndindex(array.shape):
            ends = []
            for sign in (1, -1):
                moved = [each.copy() for each in arrays]
                moved[number][place] += sign * step
                ends.append(value(operation, [lucid.tensor(each) for each in moved]).item())
            result[place] = (ends[0] - ends[1]) / (2 * step)
        yield result


@pytest.mark.parametrize("case", CASES)
def test_gradients_are_those_of_finite_differences(backend, case):
    operation, shapes = CASES[case]
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.3, 1.7, shape) for shape in shapes]
    operands = [lucid.tensor(each, requires_grad=True) for each in arrays]
    value(operation, operands).backward()
    for operand, expected in zip(operands, differences(operation, arrays), strict=True):
        assert (operand.grad.shape, operand.grad.dtype) == (operand.shape, operand.dtype)
        np.testing.assert_allclose(operand.grad.numpy(), expected, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("case", [case for case, (_, shapes) in CASES.items() if len(shapes) > 1])
def test_an_operand_alone_gets_the_gradient_that_it_gets_with_others(backend, case):
    operation, shapes = CASES[case]
    rng = np.random.default_rng(0)
    arrays = [rng.uniform(0.3, 1.7, shape) for shape in shapes]
    together = [lucid.tensor(each, requires_grad=True) for each in arrays]
    value(operation, together).backward()
    for number in range(len(arrays)):
        alone = [lucid.tensor(each, requires_grad=n == number) for n, each in enumerate(arrays)]
        value(operation, alone).backward()
        np.testing.assert_array_equal(alone[number].grad.numpy(), together[number].grad.numpy())
        assert all(each.grad is None for n, each in enumerate(alone) if n != number)


@pytest.mark.parametrize("name", [*BINARY, "a @ b", "linear"])
def test_operands_of_two_dtypes_get_gradients_of_their_own(backend, name):
    operation = {**BINARY, "a @ b": lambda a, b: a.reshape(1, 2) @ b.reshape(2, 1), "linear": F.linear}[name]
    if name == "linear":
        a, b = lucid.ones(1, 2, requires_grad=True), lucid.ones(3, 2, dtype="float64", requires_grad=True)
    else:
        a, b = lucid.ones(2, requires_grad=True), lucid.ones(2, dtype="float64", requires_grad=True)
    result = operation(a, b)
    result.sum().backward()
    assert result.dtype == b.dtype
    assert (a.grad.dtype, b.grad.dtype) == (a.dtype, b.dtype)


def test_the_edges_of_powers_sigmoid_and_relu_have_finite_gradients(backend):
    for compute, at, expected in (
        (lambda x: x**2, [0.0, -2.0], [0, -4]),
        (lambda x: x**0, [0.0, -2.0], [0, 0]),
        (lambda x: x**1, [0.0, -2.0], [1, 1]),
        (lambda x: x ** lucid.tensor([2.0, 0.0]), [0.0, 0.0], [0, 0]),
        (lambda x: lucid.tensor([0.0, 2.0]) ** x, [2.0, 1.0], [0, 2 * np.log(2)]),
        (lambda x: x.relu(), [0.0, -0.0], [0, 0]),
        (lambda x: x.sigmoid(), [-700.0, 700.0], [np.exp(-700.0), np.exp(-700.0)]),
        (lambda x: x.sigmoid(), [-np.inf, np.inf], [0, 0]),
    ):
        x = lucid.tensor(at, dtype="float64", requires_grad=True)
        compute(x).sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-12)


def test_gradients_accumulate_until_they_are_taken_back(backend):
    x = lucid.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(2):
        (x * 3).sum().backward()
    assert x.grad.tolist() == [6, 6]
    x.grad = None
    (x * x).sum().backward()
    assert x.grad.tolist() == [2, 4]
    assert not x.grad.requires_grad


def test_backward_on_a_leaf_is_its_own_gradient(backend):
    x = lucid.tensor(3.0, requires_grad=True)
    x.backward()
    assert x.grad.item() == 1


def test_paths_that_meet_again_add_up(backend):
    x = lucid.tensor(2.0, requires_grad=True)
    y = x * x
    z = (y + 1) * (y - x) + y
    z.backward()  # z = (x^2 + 1)(x^2 - x) + x^2
    assert x.grad.item() == pytest.approx(4 * 8 - 3 * 4 + 4 * 2 - 1)


def test_a_record_is_read_once_unless_it_is_retained(backend):
    x = lucid.tensor(2.0, requires_grad=True)
    loss = x * x
    loss.backward(retain_graph=True)
    loss.backward()
    assert x.grad.item() == 8
    with pytest.raises(RuntimeError, match=r"second time.*retain_graph=True"):
        loss.backward()


def test_a_walk_that_fails_changes_no_gradient(backend):
    x = lucid.tensor(2.0, requires_grad=True)
    shared = x * x
    shared.backward()
    w = lucid.tensor(2.0, requires_grad=True)  # younger, so the walk comes to it before it fails
    with pytest.raises(RuntimeError, match="second time"):
        (shared * w).backward()
    assert x.grad.item() == 4
    assert w.grad is None


def test_backward_of_many_values_wants_a_gradient(backend):
    x = lucid.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(RuntimeError, match=r"scalar.*\(2,\).*sum\(\)"):
        (x * x).backward()
    for gradient in (
        lucid.tensor([1.0, 10.0], dtype="float64"),
        [1, 10],
        backend.asarray(np.array([1.0, 10.0])),
    ):
        x.grad = None
        (x * x).backward(gradient)
        assert x.grad.tolist() == [2, 40]
        assert x.grad.dtype == x.dtype


@pytest.mark.parametrize(
    ("gradient", "error"), [([1.0], RuntimeError), (2.0, TypeError), ("a", TypeError)], ids=repr
)
def test_a_gradient_that_does_not_fit_is_refused(backend, gradient, error):
    x = lucid.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(error, match="gradient"):
        (x * x).backward(gradient)


def test_backward_without_a_record_says_so(backend):
    with pytest.raises(RuntimeError, match="requires_grad=True"):
        lucid.tensor(1.0).backward()


def test_integers_have_no_gradients(backend):
    with pytest.raises(TypeError, match=r"only floating tensors.*int64"):
        lucid.tensor([1, 2], requires_grad=True)
    x = lucid.tensor([1.5, 2.5], requires_grad=True)
    assert not x.astype("int64").requires_grad


def test_a_leaf_can_be_switched_on_and_off_and_a_result_cannot(backend):
    x = lucid.tensor(2.0)
    x.requires_grad = True
    y = x * x
    with pytest.raises(RuntimeError, match="detach"):
        y.requires_grad = False
    x.requires_grad = False
    assert not (x * x).requires_grad


def test_a_detached_tensor_is_off_the_tape(backend):
    x = lucid.tensor(3.0, requires_grad=True)
    (x * x.detach()).backward()
    assert x.grad.item() == 3


def test_nothing_is_recorded_under_no_grad(backend):
    x = lucid.tensor(3.0, requires_grad=True)

    @lucid.no_grad()
    def squared():
        return x * x

    with pytest.raises(ZeroDivisionError), lucid.no_grad():
        assert not (x * x).requires_grad
        with lucid.no_grad():
            assert not squared().requires_grad
        assert not (x + 1).requires_grad
        _ = 1 / 0
    assert not squared().requires_grad
    assert (x * x).requires_grad


def test_no_grad_is_one_threads_own(backend):
    x, seen = lucid.tensor(3.0, requires_grad=True), []
    with lucid.no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * x).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_an_update_in_place_of_a_leaf_wants_no_grad(backend):
    x = lucid.tensor([1.0, 2.0], requires_grad=True)
    same = x
    with pytest.raises(RuntimeError, match=r"lucid.no_grad\(\)"):
        x -= 1.0
    with lucid.no_grad():
        x -= 1.0
    assert x is same
    assert x.requires_grad
    assert x.tolist() == [0, 1]


def test_an_update_in_place_of_a_result_is_recorded(backend):
    x = lucid.tensor([1.0, 2.0], requires_grad=True)
    y = x * 2
    y *= y
    y += 1
    y.sum().backward()
    assert x.grad.tolist() == [8, 16]


def test_an_update_after_the_computation_does_not_change_its_gradient(backend):
    x = lucid.tensor([1.0, 2.0], requires_grad=True)
    loss = (x * x).sum()
    with lucid.no_grad():
        x *= 100.0
    loss.backward()
    assert x.grad.tolist() == [2, 4]


def test_an_operand_that_is_written_to_later_does_not_change_the_gradient(backend):
    x = lucid.tensor([1.0, 2.0], requires_grad=True)
    factor, mask = backend.asarray(np.array([3.0, 4.0])), backend.asarray(np.array([True, False]))
    loss = (x * factor)[mask].sum()
    factor[0], mask[1] = 100.0, True
    loss.backward()
    assert x.grad.tolist() == [3, 0]


def test_an_index_that_may_repeat_has_no_gradient(backend):
    x = lucid.tensor([1.0, 2.0], requires_grad=True)
    for key in ([0, 0], lucid.tensor([0, 0]), backend.asarray(np.array([0, 0]))):
        with pytest.raises(TypeError, match=r"integer array.*detach"):
            x[key]
        assert x.detach()[key].tolist() == [1, 1]


def test_a_deep_graph_is_walked_and_freed_without_recursion(backend):
    for walk in (True, False):
        x = lucid.tensor(1.0, requires_grad=True)
        y = x
        for _ in range(10_000):
            y = y + 1.0
        if walk:
            y.backward()
            assert x.grad.item() == 1
        del y


@pytest.fixture
def no_cyclic_gc():
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_cyclic_gc")
def test_arrays_die_with_their_tensors(backend):
    x = lucid.tensor([1.0, 2.0], requires_grad=True)
    y = (x * x + x).sigmoid()
    loss = y.mean()
    arrays = [weakref.ref(each.data) for each in (x, y, loss)]
    loss.backward()
    arrays.append(weakref.ref(x.grad.data))
    del y, loss
    assert [array() is None for array in arrays] == [False, True, True, False]
    del x
    assert [array() is None for array in arrays] == [True] * 4


@pytest.mark.usefixtures("no_cyclic_gc")
def test_the_tape_keeps_only_the_arrays_that_gradients_need(backend):
    w = lucid.tensor([1.0, 2.0], requires_grad=True)
    added, factor, subtracted = (lucid.tensor([1.0, 1.0]) for _ in range(3))
    arrays = [weakref.ref(each.data) for each in (added, factor, subtracted)]
    result = ((w + added) * factor - subtracted).sum()
    del added, factor, subtracted
    assert [array() is None for array in arrays] == [True, False, True]
    result.backward()
    assert arrays[1]() is None


def test_a_leaf_that_nobody_has_any_more_is_no_obstacle(backend):
    x = lucid.tensor(2.0, requires_grad=True)
    y = x * lucid.tensor(3.0, requires_grad=True)
    y.backward()
    assert x.grad.item() == 3
