"""The PyTorch backend inside PyTorch's own code."""

import doctest
import re
from pathlib import Path

import numpy as np
import pytest

import lucid
from lucid import nn

torch = pytest.importorskip("torch", reason="needs PyTorch")

CRITERIA = {
    "bce": (nn.BCELoss, torch.nn.BCELoss, torch.sigmoid),
    "bce_with_logits": (nn.BCEWithLogitsLoss, torch.nn.BCEWithLogitsLoss, lambda x: x),
}
criteria = pytest.mark.parametrize(("ours", "theirs", "link"), CRITERIA.values(), ids=CRITERIA)
NARROW = [torch.float16, torch.bfloat16]
DTYPES = [*NARROW, torch.float32, torch.float64]


@criteria
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_a_native_tensor_gives_a_native_tensor_with_pytorch_s_numbers(ours, theirs, link, reduction):
    torch.manual_seed(0)
    x = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    y, w = torch.rand(5, 3, dtype=torch.float64), torch.rand(3, dtype=torch.float64)
    gradients = []
    for criterion in (ours(w, reduction=reduction), theirs(w, reduction=reduction)):
        loss = criterion(link(x), y)
        assert type(loss) is torch.Tensor
        gradients.append((loss.detach(), *torch.autograd.grad(loss.sum(), x)))
    for mine, other in zip(*gradients, strict=True):
        torch.testing.assert_close(mine, other)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_and_finite_gradients_are_kept(dtype):
    x = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=dtype, requires_grad=True)
    loss = nn.BCELoss()(x, torch.tensor([0, 1, 0, 1]))
    loss.backward()
    assert loss.dtype == x.grad.dtype == dtype
    assert torch.isfinite(x.grad).all()
    assert loss == 50


@pytest.mark.parametrize("dtype", NARROW)
def test_gradients_of_narrow_floats_are_those_of_the_numbers_they_hold(dtype):
    torch.manual_seed(0)
    wide = torch.rand(1000).to(dtype).double().requires_grad_()
    narrow = wide.detach().to(dtype).requires_grad_()
    y = torch.randint(0, 2, (1000,))
    for x in (wide, narrow):
        nn.BCELoss(reduction="sum")(x, y).backward()
    assert torch.isfinite(narrow.grad).all()
    assert torch.equal(narrow.grad, wide.grad.clamp(*(torch.finfo(dtype).max * s for s in (-1, 1))).to(dtype))


@criteria
@pytest.mark.parametrize("dtype", NARROW)
def test_under_autocast_the_loss_is_computed_in_float32(ours, theirs, link, dtype):
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 3)
    x, y = torch.randn(8, 4), torch.randint(0, 2, (8, 3)).float()
    with torch.autocast("cpu", dtype=dtype):
        output = link(model(x))
        assert output.dtype == dtype
        mine, other = ours()(output, y), theirs()(output.float(), y)
    assert mine.dtype == torch.float32
    torch.testing.assert_close(mine, other)
    gradients = (torch.autograd.grad(loss, model.weight, retain_graph=True)[0] for loss in (mine, other))
    torch.testing.assert_close(*gradients)


def test_integer_bool_and_double_targets_and_number_weights_are_taken():
    x = torch.tensor([0.25, 0.5])
    right = torch.nn.BCELoss()(x, torch.tensor([0.0, 1.0]))
    for dtype in (torch.int64, torch.uint8, torch.bool, torch.float64, torch.bfloat16):
        target = torch.tensor([0, 1], dtype=dtype)
        torch.testing.assert_close(nn.BCELoss(weight=1)(x, target), right)
        torch.testing.assert_close(nn.BCELoss(weight=2.0, pos_weight=1)(x, target), 2 * right)


@pytest.mark.parametrize("name", ["target", "weight", "pos_weight"])
def test_an_operand_on_another_device_is_named(name):
    def loss(target, weight=None, pos_weight=None):
        return nn.BCELoss(weight, pos_weight=pos_weight)(torch.rand(2), target)

    elsewhere = {name: torch.ones(2, device="meta")}
    with pytest.raises(ValueError, match=rf"input is on cpu and {name} on meta.*{name}\.to\('cpu'\)"):
        loss(**{"target": torch.ones(2), **elsewhere})


def test_a_meta_tensor_gives_a_meta_tensor_and_no_error():
    x = torch.empty(5, 3, device="meta", requires_grad=True)
    for criterion in (nn.BCELoss(), nn.BCEWithLogitsLoss()):
        for reduction, shape in (("none", (5, 3)), ("mean", ()), ("weighted_mean", ())):
            criterion.reduction, criterion.weight = reduction, torch.empty(3, device="meta")
            loss = criterion(x, torch.empty(5, 3, device="meta"))
            assert (loss.device.type, tuple(loss.shape)) == ("meta", shape)
            (gradient,) = torch.autograd.grad(loss.sum(), x)
            assert (gradient.device.type, gradient.shape) == ("meta", x.shape)


def test_a_lazily_negated_tensor_is_read_as_it_is():
    p = torch.complex(torch.zeros(2), torch.tensor([-0.25, -0.5])).conj().imag
    assert p.is_neg()
    torch.testing.assert_close(nn.BCELoss()(p, torch.ones(2)), nn.BCELoss()(p.clone(), torch.ones(2)))


def test_a_lucid_tensor_cuts_the_graph_of_a_copied_tensor():
    x = torch.tensor([0.25], requires_grad=True)
    tensor = lucid.tensor(x)
    assert tensor.backend.info.name == "torch"
    assert not tensor.data.requires_grad
    assert tensor.numpy().tolist() == [0.25]


def test_bfloat16_comes_out_as_float32():
    tensor = lucid.tensor([1.5], dtype="bfloat16", backend="torch")
    assert tensor.dtype == torch.bfloat16
    assert tensor.numpy().dtype == np.float32


def test_values_are_looked_at_on_the_host_alone():
    backend = lucid.get_backend("torch")
    assert backend.host_values(torch.zeros(1))
    assert not backend.host_values(torch.zeros(1, device="meta"))
    torch.func.vmap(lambda x: x if not backend.host_values(x) else 1 / 0)(torch.zeros(1))


def test_what_the_documentation_says_to_those_who_come_from_pytorch():
    page = Path(__file__).parent.parent / "docs" / "torch.md"
    text = re.sub("^```.*", "", page.read_text(), flags=re.MULTILINE)  # a fence is no output
    examples = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert (runner.run(examples).failed, len(examples.examples)) == (0, 30)
