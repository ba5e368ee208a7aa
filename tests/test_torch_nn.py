"""The losses as PyTorch modules: moved, saved, copied, wrapped."""

import copy
import doctest
import importlib
import inspect
import pickle
import subprocess
import sys

import pytest

import lucid

torch = pytest.importorskip("torch", reason="needs PyTorch")
nn = importlib.import_module("lucid_torch.nn")

WEIGHT, POS_WEIGHT = torch.tensor([0.5, 1.0, 2.0]), torch.tensor([3.0, 2.0, 1.0])
PAIRS = {
    "bce": (lambda m: m.BCELoss(WEIGHT), ["weight"]),
    "bce_with_logits": (
        lambda m: m.BCEWithLogitsLoss(WEIGHT, reduction="sum", pos_weight=POS_WEIGHT),
        ["weight", "pos_weight"],
    ),
    "without_weights": (lambda m: m.BCELoss(reduction="none"), []),
}
pairs = pytest.mark.parametrize(("make", "names"), PAIRS.values(), ids=PAIRS)


@pytest.fixture
def batch():
    torch.manual_seed(0)
    return torch.rand(5, 3), torch.rand(5, 3)


@pairs
def test_a_module_is_swapped_in_for_pytorch_s(make, names, batch):
    ours, theirs = make(nn), make(torch.nn)
    assert isinstance(ours, torch.nn.Module)
    torch.testing.assert_close(ours(*batch), theirs(*batch))
    assert list(ours.state_dict()) == list(theirs.state_dict()) == names


@pairs
def test_states_load_both_ways(make, names, batch):
    for source, other in ((make(nn), make(torch.nn)), (make(torch.nn), make(nn))):
        for buffer in source.buffers():
            buffer.mul_(3)
        other.load_state_dict(source.state_dict())
        torch.testing.assert_close(other(*batch), source(*batch))


@pairs
def test_copies_and_pickles_are_the_same_loss(make, names, batch):
    module = make(nn)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        assert repr(other) == repr(module)
        assert torch.equal(other(*batch), module(*batch))
        assert not {id(b) for b in other.buffers()} & {id(b) for b in module.buffers()}


def test_weights_move_with_the_module():
    module = nn.BCEWithLogitsLoss(WEIGHT, pos_weight=POS_WEIGHT)
    assert {b.dtype for b in module.double().buffers()} == {torch.float64}
    assert {b.device.type for b in module.to("meta").buffers()} == {"meta"}
    x = torch.empty(5, 3, device="meta")
    assert module(x, x).device.type == "meta"


def test_a_parameter_as_a_weight_is_learned(batch):
    module = nn.BCELoss(torch.nn.Parameter(WEIGHT.clone()))
    assert list(dict(module.named_parameters())) == ["weight"]
    module(*batch).backward()
    assert module.weight.grad.shape == WEIGHT.shape


def test_numbers_lists_and_arrays_are_weights_too(batch):
    right = nn.BCELoss(torch.tensor([2.0, 2.0, 2.0]))(*batch)
    for weight in (2, 2.0, [2.0, 2.0, 2.0], WEIGHT.new_full((3,), 2).numpy()):
        torch.testing.assert_close(nn.BCELoss(weight)(*batch), right)
    assert not nn.BCELoss(2.0).state_dict()
    assert nn.BCELoss([2.0] * 3).weight.dtype == torch.float32


@pytest.mark.parametrize("name", ["BCELoss", "BCEWithLogitsLoss"])
def test_every_argument_is_that_of_lucid_s_own_loss(name, batch):
    values = {
        "weight": WEIGHT,
        "reduction": "weighted_mean",
        "eps": 0.1,
        "pos_weight": POS_WEIGHT,
        "label_smoothing": 0.1,
        "ignore_index": 0,
        "validate": False,
    }
    own = getattr(lucid.nn, name)
    options = {name: value for name, value in values.items() if name in inspect.signature(own).parameters}
    module = getattr(nn, name)(**options)
    torch.testing.assert_close(module(*batch), own(**options)(*batch))
    assert repr(module) == repr(own(**options))


def test_wrong_arguments_are_refused_as_by_lucid_s_own_loss():
    with pytest.raises(ValueError, match="reduction is 'average'"):
        nn.BCELoss(reduction="average")
    with pytest.raises(TypeError, match="eps"):
        nn.BCEWithLogitsLoss(eps=0.1)
    with pytest.raises(TypeError, match="positional"):
        nn.BCELoss(None, "sum")  # PyTorch's second argument is size_average


def test_pytorch_s_old_arguments_are_translated_with_a_warning_at_the_caller():
    with pytest.warns(DeprecationWarning, match="reduction='sum'") as caught:
        module = nn.BCELoss(size_average=False)
    assert module.reduction == "sum"
    assert caught[0].filename == __file__


def test_data_parallel_wraps_a_model_that_ends_in_the_loss(batch):
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.loss = torch.nn.Linear(3, 3), nn.BCEWithLogitsLoss(WEIGHT)

        def forward(self, x, y):
            return self.loss(self.linear(x), y)

    model = Model()
    wrapped = torch.nn.DataParallel(model)
    torch.testing.assert_close(wrapped(*batch), model(*batch))
    assert "module.loss.weight" in wrapped.state_dict()


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")
def test_a_module_is_compiled_whole(batch):
    module = nn.BCELoss(WEIGHT, pos_weight=2.0)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(*batch), module(*batch))


def test_the_backend_s_door_does_not_import_pytorch():
    code = "import sys, lucid_torch; assert not {'torch', 'numpy'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_examples_of_the_modules_are_right():
    results = doctest.testmod(nn)
    assert (results.failed, results.attempted > 0) == (0, True)
