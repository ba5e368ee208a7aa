"""JAX's own transformations, lucid's tensors on JAX, and accuracy without JAX's float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import lucid
from lucid import nn
from lucid.protocol import LossSpec
from lucid.testing.cases import OPTIONS, problem
from lucid.testing.reference import exact, ulps

P = np.array([[0.9, 0.2, 0.5], [1e-6, 0.999, 0.7]], dtype=np.float32)
Z = np.array([[3.0, -1.0, 0.0], [-60.0, 20.0, 0.5]], dtype=np.float32)
Y = np.array([[1.0, 0.0, 0.25], [0.0, 1.0, 1.0]], dtype=np.float32)
W = np.array([0.5, 2.0, 1.0], dtype=np.float32)

LOSSES = {"bce": (nn.BCELoss, P), "bce_with_logits": (nn.BCEWithLogitsLoss, Z)}
REDUCTIONS = ["none", "sum", "mean", "weighted_mean"]

each_loss = pytest.mark.parametrize("loss", LOSSES)
each_reduction = pytest.mark.parametrize("reduction", REDUCTIONS)


@pytest.fixture(autouse=True)
def jax_is_selected():
    with lucid.use_backend("jax"), jax.enable_x64(False):
        yield


def close(actual, expected):
    assert isinstance(actual, jax.Array)
    np.testing.assert_allclose(actual, expected, rtol=2e-6)


def on_numpy(loss, reduction, **options):
    """Return the loss and its gradient as NumPy's backend has them."""
    cls, x = LOSSES[loss]
    with lucid.use_backend("numpy"):
        return cls(reduction=reduction, **options).value_and_grad(x, Y)


@each_loss
@each_reduction
def test_arrays_come_in_and_go_out(loss, reduction):
    cls, x = LOSSES[loss]
    value, gradient = cls(reduction=reduction).value_and_grad(jnp.asarray(x), jnp.asarray(Y))
    for actual, expected in zip((value, gradient), on_numpy(loss, reduction), strict=True):
        close(actual, expected)


@each_loss
@pytest.mark.parametrize("reduction", REDUCTIONS[1:])
@pytest.mark.parametrize("compiled", [False, True])
def test_grad_and_jit_go_through(loss, reduction, compiled):
    cls, x = LOSSES[loss]
    with_gradient = jax.value_and_grad(cls(weight=jnp.asarray(W), reduction=reduction))
    value, gradient = (jax.jit(with_gradient) if compiled else with_gradient)(jnp.asarray(x), jnp.asarray(Y))
    expected = on_numpy(loss, reduction, weight=W)
    close(value, expected[0])
    close(gradient, expected[1])
    assert gradient.dtype == jnp.float32


@each_loss
def test_vmap_goes_through_and_through_grad_within(loss):
    cls, x = LOSSES[loss]
    rows = jax.vmap(cls())(jnp.asarray(x), jnp.asarray(Y))
    gradients = jax.jit(jax.vmap(jax.grad(cls())))(jnp.asarray(x), jnp.asarray(Y))
    for row in range(len(x)):
        with lucid.use_backend("numpy"):
            value, gradient = cls().value_and_grad(x[row], Y[row])
        close(rows[row], value)
        close(gradients[row], gradient)


@each_loss
def test_gradients_with_respect_to_target_and_weight(loss):
    cls, x = LOSSES[loss]

    def value(target, weight):
        return cls(weight=weight, reduction="weighted_mean")(jnp.asarray(x), target)

    by_target, by_weight = jax.grad(value, argnums=(0, 1))(jnp.asarray(Y, jnp.float16), jnp.asarray(W))
    with lucid.use_backend("numpy"):
        target, weight = (lucid.tensor(each, requires_grad=True) for each in (Y, W))
        cls(weight=weight, reduction="weighted_mean")(lucid.tensor(x), target).backward()
    assert by_target.dtype == jnp.float16
    np.testing.assert_allclose(by_target, target.grad.numpy(), rtol=1e-3)
    close(by_weight, weight.grad.numpy())


@pytest.mark.parametrize("dtype", ["bool", "int32", "uint8"])
def test_labels_of_any_dtype_have_no_gradient_and_hinder_none(dtype):
    labels = jnp.asarray([1, 0, 1], dtype)
    gradient = jax.grad(nn.BCELoss(reduction="sum"))(jnp.asarray([0.5, 0.5, 0.25]), labels)
    close(gradient, [-2.0, 2.0, -4.0])


def test_the_second_derivative_is_that_of_the_formula():
    hessian = jax.jacrev(jax.grad(nn.BCELoss(reduction="sum")))(
        jnp.asarray([0.9, 0.2]), jnp.asarray([1.0, 0.0])
    )
    close(jnp.diag(hessian), [1 / 0.9**2, 1 / 0.8**2])


def test_what_is_out_of_range_is_an_error_and_under_jit_nan():
    p, y = jnp.asarray([0.5, 1.5]), jnp.asarray([1.0, 1.0])
    with pytest.raises(ValueError, match=r"input\[1\] is 1\.5.*BCEWithLogitsLoss"):
        nn.BCELoss()(p, y)
    assert np.isnan(jax.jit(nn.BCELoss(reduction="none"))(p, y)).tolist() == [False, True]


def test_lucids_tensors_learn_on_jax():
    lucid.manual_seed(0)
    x = lucid.randn(64, 4)
    y = (x[:, :1] * 2 > x[:, 1:2]).astype("float32")
    model, criterion = nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()), nn.BCELoss()
    losses = []
    for _ in range(15):
        loss = criterion(model(x), y)
        losses.append(loss.item())
        model.zero_grad()
        loss.backward()
        with lucid.no_grad():
            for parameter in model.parameters():
                parameter -= 2.0 * parameter.grad  # in place
    assert losses[-1] < losses[0] / 2
    assert isinstance(loss.data, jax.Array)
    assert loss.backend.info.name == "jax"


def test_slices_of_tensors_have_gradients_without_an_array_that_can_be_written_to():
    x = lucid.tensor(P, requires_grad=True)
    (x[:, 1:] * x[0, 0]).sum().backward()
    expected = np.array([[0.2 + 0.5 + 0.999 + 0.7, 0.9, 0.9], [0, 0.9, 0.9]])
    np.testing.assert_allclose(x.grad.numpy(), expected, rtol=1e-6)


def test_an_array_and_what_stands_for_it_go_to_jax():
    rule = "lucid.use_backend selects it, and it lists "
    x = jnp.ones(3)
    assert lucid.explain(x) == ("jax", f"{rule}jaxlib._jax:ArrayImpl")
    seen = []
    jax.jit(lambda tracer: seen.append(lucid.explain(tracer)) or tracer)(x)
    assert seen[0].backend == "jax"
    assert seen[0].rule.startswith(f"{rule}jax._src.core:Tracer, a base of jax")


@pytest.mark.parametrize(
    ("loss", "regime", "option"),
    [
        ("bce", "hard", "plain"),
        ("bce", "soft", "weight"),
        ("bce", "close", "smoothing"),
        ("bce_with_logits", "soft", "pos_weight"),
        ("bce", "edges", "plain"),  # these two only by kernels of its own
        ("bce_with_logits", "edges", "plain"),
    ],
)
def test_float32_is_right_to_the_last_digit_without_switching_float64_on(loss, regime, option):
    at, spec = problem(loss, regime, option, "float32"), OPTIONS[option].spec
    operands = [
        each if each is None else jnp.asarray(each, jnp.float32) for each in (at.x, at.target, at.weight)
    ]
    criterion = LOSSES[loss][0](operands[2], reduction="none", **spec)
    if at.pos_weight is not None:
        criterion.pos_weight = jnp.asarray(at.pos_weight, jnp.float32)
    actual = criterion(*operands[:2])
    assert actual.dtype == jnp.float32
    right = exact(loss, LossSpec("none", **spec), at.elements(), "float32").loss
    worst = max(map(ulps, np.asarray(actual, float).ravel().tolist(), right, ["float32"] * len(right)))
    assert worst <= 0.51
    assert not jax.config.jax_enable_x64


def test_float64_that_is_not_there_is_said_to_be_missing():
    with pytest.warns(UserWarning, match="float64.*jax_enable_x64"):
        assert lucid.tensor([0.5], dtype="float64").dtype == jnp.float32
    with jax.enable_x64(True):
        assert lucid.tensor([0.5], dtype="float64").dtype == jnp.float64
