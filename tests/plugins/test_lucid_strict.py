"""A real third-party distribution, whose array library has nothing but the array-API standard.

What core does with a backend's namespace has to be in the standard, or it fails here.
"""

import numpy as np
import pytest

import lucid
from lucid import _ops, nn

P = [[0.9, 0.2, 0.5], [0.0, 1.0, 0.7]]
Y = [[1.0, 0.0, 0.25], [0.0, 1.0, 1.0]]
W = [0.5, 2.0, 1.0]

pytestmark = pytest.mark.usefixtures("lucid_strict")

on_both = pytest.mark.parametrize("dtype", ["float32", "float64"])


@pytest.fixture
def strict():
    return lucid.get_backend("strict")


def agree(compute, dtype, *operands):
    """Compute on tensors of NumPy and of array-api-strict, and compare the results and all gradients."""
    results = []
    for backend in ("numpy", "strict"):
        tensors = [lucid.tensor(each, dtype=dtype, requires_grad=True, backend=backend) for each in operands]
        result = compute(*tensors)
        assert result.backend.info.name == backend
        result.backward(lucid.ones(result.shape, dtype=result.dtype, backend=backend))
        results.append([result.numpy(), *(t.grad.numpy() for t in tensors if t.grad is not None)])
    for expected, actual in zip(*results, strict=True):
        assert actual.dtype == expected.dtype
        np.testing.assert_allclose(actual, expected, rtol=1e-6)


@on_both
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "weighted_mean"])
@pytest.mark.parametrize("loss", [nn.BCELoss, nn.BCEWithLogitsLoss])
def test_the_losses_of_tensors_are_those_of_numpy(loss, reduction, dtype):
    agree(lambda p, y, w: loss(weight=w, reduction=reduction)(p, y), dtype, P, Y, W)


OPERATIONS = {
    "arithmetic": lambda a, b: (a + b) * (a - 2.0) / (b + 1) - (1.0 - a) * 3,
    "power": lambda a, b: (a + 1) ** b + a**2 + 2.0**b,
    "matmul": lambda a, b: a @ b.reshape(3, 2),
    "row and matrix": lambda a, b: a[0] @ b.reshape(3, 2),
    "sum": lambda a, b: (a * b).sum(axis=0) + (a * b).sum(axis=1, keepdims=True) + a.sum(),
    "mean": lambda a, b: (a * b).mean(axis=0) + (a * b).mean(axis=(0, 1)),
    "reshape": lambda a, b: a.reshape(-1) * b.reshape(6),
    "slice": lambda a, b: a[:, 1:] * b[0:1, :2],
    "mask": lambda a, b: a[a > 0.3].sum() + b[0, 2],
    "sigmoid": lambda a, b: (a - b).sigmoid(),
    "relu": lambda a, b: (a - b).relu(),
    "in place": lambda a, b: in_place(a * 1.0, b),
}


def in_place(a, b):
    a += b
    a *= 2.0
    a /= b + 1
    a -= 1
    return a


@on_both
@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_the_operations_of_tensors_are_those_of_numpy(operation, dtype):
    agree(operation, dtype, P, Y)


def test_a_network_learns():
    lucid.manual_seed(0)
    with lucid.use_backend("strict"):
        x = lucid.randn(32, 4)
        y = (x.sum(axis=1, keepdims=True) > 0).astype("float32")
        model = nn.Linear(4, 1)
        criterion = nn.BCEWithLogitsLoss()
        losses = []
        for _ in range(20):
            loss = criterion(model(x), y)
            losses.append(loss.item())
            loss.backward()
            with lucid.no_grad():
                for parameter in model.parameters():
                    descend(parameter)
    assert losses[-1] < losses[0] / 2
    assert loss.backend.info.name == "strict"


def descend(parameter):
    parameter -= parameter.grad
    parameter.grad = None


def test_its_own_arrays_give_its_own_arrays(strict):
    p, y = (strict.xp.asarray(each) for each in (P, Y))
    loss = nn.BCELoss()(p, y)
    assert type(loss) is type(p)
    assert float(loss) == pytest.approx(nn.BCELoss()(np.asarray(P), np.asarray(Y)))


def test_lists_are_brought_to_its_arrays(strict):
    p = strict.xp.asarray(P)
    assert float(nn.BCELoss()(p, Y)) == float(nn.BCELoss()(p, strict.xp.asarray(Y)))


@pytest.mark.parametrize("of_numpy", [np.asarray, lucid.tensor])
def test_arrays_of_another_library_are_not_brought_to_its_own(strict, of_numpy):
    with pytest.raises(
        lucid.errors.MixedBackendError, match=r"input lives on .*'strict' and target on .*'numpy'"
    ):
        nn.BCELoss()(strict.xp.asarray(P), of_numpy(Y))


def test_what_is_out_of_range_is_found(strict):
    p = strict.xp.asarray([0.5, 1.5])
    with pytest.raises(ValueError, match=r"input\[1\] is 1.5.*BCEWithLogitsLoss"):
        nn.BCELoss()(p, strict.xp.asarray([0.0, 1.0]))


def test_nan_in_is_nan_out(strict):
    p = strict.xp.asarray([0.5, float("nan")])
    assert np.isnan(float(nn.BCELoss()(p, strict.xp.asarray([0.0, 1.0]))))


@pytest.mark.parametrize("shape", [(), (0,), (2, 0, 3), (1,)])
def test_arrays_without_dimensions_or_elements_work(strict, shape):
    p, y = strict.xp.full(shape, 0.25), strict.xp.ones(shape)
    losses = nn.BCELoss(reduction="none")(p, y)
    assert losses.shape == shape
    np.testing.assert_allclose(np.asarray(losses), -np.log(np.full(shape, 0.25)))


def test_ignored_elements_count_for_nothing(strict):
    xp = strict.xp
    loss = nn.BCELoss(ignore_index=-1)(xp.asarray([0.5, 0.25]), xp.asarray([1, -1]))
    assert float(loss) == pytest.approx(np.log(2))


def test_tensors_show_whose_they_are():
    assert repr(lucid.tensor([0.5], backend="strict")) == "Tensor([0.5], dtype=float32, backend=strict)"


@pytest.mark.parametrize("key", [(slice(None), slice(1, 3)), (0, ...), (slice(0, 0), ...)], ids=str)
def test_an_index_has_a_gradient_in_standard_functions_where_arrays_can_not_be_written_to(strict, key):
    xp, values = strict.xp, np.arange(1.0, 7.0).reshape(2, 3)
    written = np.zeros((2, 3))
    written[key] = values[key]
    found = _ops.scattered(xp, xp.asarray(values[key]), xp.zeros((2, 3)), key)
    np.testing.assert_array_equal(np.asarray(found), written)
