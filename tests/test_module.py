"""Modules and their parameters, on every backend."""

import copy
import gc
import pickle

import numpy as np
import pytest

import lucid
import lucid.nn.functional as F
from lucid import nn


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter([2.0])
        self.hidden = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
        self.output = nn.Linear(4, 1, bias=False)
        self.constant = lucid.tensor([1.0])

    def forward(self, x):
        return self.output(self.hidden(x)).sigmoid() * self.scale


NAMES = ["scale", "hidden.0.weight", "hidden.0.bias", "output.weight"]


def test_parameters_are_found_by_name_in_order(backend):
    model = Model()
    assert [name for name, _ in model.named_parameters()] == NAMES
    assert [p.shape for p in model.parameters()] == [(1,), (4, 3), (4,), (1, 4)]
    assert all(p.requires_grad and p.backend is backend for p in model.parameters())
    assert [name for name, _ in model.named_children()] == ["hidden", "output"]
    assert len(list(model.modules())) == 5


def test_a_shared_module_or_parameter_counts_once(backend):
    layer = nn.Linear(2, 2)
    model = nn.Sequential(layer, nn.ReLU(), layer)
    model.tied = layer.weight
    assert [name for name, _ in model.named_parameters()] == ["tied", "0.bias"]
    assert len(list(model.modules())) == 3


def test_modules_that_know_each_other_are_walked_once():
    parent, child = nn.Sequential(nn.ReLU()), nn.Sigmoid()
    parent.child, child.parent = child, parent
    assert len(list(parent.modules())) == 3
    assert list(child.parameters()) == []


def test_the_repr_is_nested():
    assert repr(Model()) == (
        "Model(\n"
        "  (hidden): Sequential(\n"
        "    (0): Linear(in_features=3, out_features=4, bias=True)\n"
        "    (1): ReLU()\n"
        "  )\n"
        "  (output): Linear(in_features=4, out_features=1, bias=False)\n"
        ")"
    )


def test_train_and_eval_reach_every_module():
    model = Model()
    assert all(module.training for module in model.modules())
    assert model.eval() is model
    assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.train().modules())


def test_a_module_without_forward_says_so():
    class Nothing(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match="Nothing defines no forward"):
        Nothing()(1)


def test_a_sequence_takes_modules_only():
    with pytest.raises(TypeError, match="argument 1 is a function"):
        nn.Sequential(nn.ReLU(), F.sigmoid)


def test_a_step_of_training_keeps_the_parameters_where_they_are(backend):
    model = Model()
    before = list(model.parameters())
    values = [p.numpy().copy() for p in before]
    model(lucid.ones(5, 3)).mean().backward()
    with lucid.no_grad():
        for p in model.parameters():
            p -= 0.5 * p.grad  # noqa: PLW2901  # it stays the same object
        model.scale -= 0.5
    assert all(a is b for a, b in zip(before, model.parameters(), strict=True))
    assert all(type(p) is nn.Parameter and p.requires_grad for p in model.parameters())
    assert any((p.numpy() != value).any() for p, value in zip(before[1:], values[1:], strict=True))
    model.zero_grad()
    assert all(p.grad is None for p in model.parameters())


def test_the_state_is_plain_arrays_that_training_does_not_change(backend):
    model = Model()
    state = model.state_dict()
    assert list(state) == NAMES
    assert all(type(array) is np.ndarray for array in state.values())
    kept = state["scale"].copy()
    with lucid.no_grad():
        model.scale += 1
    np.testing.assert_array_equal(state["scale"], kept)
    state["scale"][:] = 99
    assert model.scale.tolist() == [3]


def test_a_state_loads_on_any_backend(backend):
    source = Model()
    x = lucid.randn(5, 3)
    for state in (
        source.state_dict(),
        {name: p.detach() for name, p in source.named_parameters()},
        {name: p.data for name, p in source.named_parameters()},
        {name: p.tolist() for name, p in source.named_parameters()},
        {name: array.astype("float64") for name, array in source.state_dict().items()},
    ):
        model = Model()
        parameters = list(model.parameters())
        model.load_state_dict(state)
        assert model(x).tolist() == source(x).tolist()
        assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
        assert all(p.requires_grad and p.dtype == x.dtype for p in parameters)
    with lucid.use_backend("numpy"):
        model = Model()
        model.load_state_dict(source.state_dict())
        np.testing.assert_allclose(
            model(lucid.tensor(x, backend="numpy")).numpy(), source(x).numpy(), rtol=1e-6
        )


def test_a_state_that_does_not_fit_changes_nothing(backend):
    model = Model()
    state = {name: np.zeros_like(array) for name, array in model.state_dict().items()}
    before = model.state_dict()
    for wrong, error, message in (
        ({"scale": [0.0]}, KeyError, "missing.*hidden.0.bias"),
        ({**state, "extra": [0.0]}, KeyError, "unexpected.*extra"),
        ({**state, "output.weight": np.zeros((4, 1))}, ValueError, r"output.weight.*\(1, 4\).*\(4, 1\)"),
        ({**state, "output.weight": "abcd"}, TypeError, "expected numbers"),
    ):
        with pytest.raises(error, match=message):
            model.load_state_dict(wrong)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize(
    "copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"]
)
def test_a_copied_or_pickled_module_is_independent(backend, copied):
    model = nn.Sequential(nn.Linear(2, 2), nn.Sigmoid())
    model.tied = model.named_children().__next__()[1].weight
    x = lucid.ones(1, 2)
    expected = model(x).tolist()
    twin = copied(model)
    assert repr(twin) == repr(model)
    assert [name for name, _ in twin.named_parameters()] == ["tied", "0.bias"]
    assert all(type(p) is nn.Parameter and p.requires_grad for p in twin.parameters())
    twin(x).sum().backward()
    assert all(p.grad is None for p in model.parameters())
    with lucid.no_grad():
        for p in model.parameters():
            p *= 0.0  # noqa: PLW2901  # it stays the same object
    assert twin(x).tolist() == expected


def test_a_module_and_its_arrays_need_no_cyclic_garbage_collector(backend):
    gc.collect()
    gc.disable()
    try:
        model = Model()
        model(lucid.ones(5, 3)).sum().backward()
        del model
        gc.set_debug(gc.DEBUG_SAVEALL)
        gc.collect()
        assert not [each for each in gc.garbage if isinstance(each, (lucid.Tensor, nn.Module))]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()


def test_a_parameter_requires_gradients_unless_told_otherwise(backend):
    p = nn.Parameter([0.5, 1.5])
    assert repr(p).startswith("Parameter([0.5, 1.5], dtype=float32")
    assert p.requires_grad
    assert not nn.Parameter([1.0], requires_grad=False).requires_grad
    assert type(p * 2) is lucid.Tensor
    assert nn.Parameter(lucid.tensor([1.0], dtype="float64")).dtype == lucid.zeros(1, dtype="float64").dtype


def test_a_linear_layer_is_x_weight_t_plus_bias(backend):
    layer = nn.Linear(3, 2, dtype="float64")
    for shape in ((3,), (5, 3), (4, 5, 3), (0, 3)):
        x = np.random.default_rng(0).normal(size=shape)
        expected = x @ layer.weight.numpy().T + layer.bias.numpy()
        np.testing.assert_allclose(layer(lucid.tensor(x)).numpy(), expected, rtol=1e-14)
    bare = nn.Linear(3, 2, bias=False)
    assert bare.bias is None
    assert bare(lucid.zeros(1, 3)).tolist() == [[0, 0]]


def test_initial_weights_are_bounded_and_the_seeds_own(backend):
    lucid.manual_seed(3)
    layer = nn.Linear(100, 50)
    generator = np.random.default_rng(3)
    for p, shape in ((layer.weight, (50, 100)), (layer.bias, (50,))):
        np.testing.assert_array_equal(p.numpy(), generator.uniform(-0.1, 0.1, shape).astype("float32"))


@pytest.mark.parametrize("shape", [(), (2,), (3, 2)], ids=str)
def test_an_input_of_another_length_is_refused(backend, shape):
    with pytest.raises(ValueError, match=r"\(\.\.\., 3\)"):
        nn.Linear(3, 1)(lucid.zeros(shape))


def test_activations_are_their_functions(backend):
    x = lucid.tensor([[-2.0, 0.0, 3.0]])
    assert nn.ReLU()(x).tolist() == F.relu(x).tolist() == [[0, 0, 3]]
    assert nn.Sigmoid()(x).tolist() == F.sigmoid(x).tolist() == x.sigmoid().tolist()
