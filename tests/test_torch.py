"""The PyTorch backend inside PyTorch's own code."""

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


@criteria
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
def test_a_native_tensor_gives_a_native_tensor_with_pytorch_s_numbers(ours, theirs, link, reduction) -> None:
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


@criteria
def test_gradcheck_for_input_target_and_weight(ours, theirs, link) -> None:
    torch.manual_seed(0)
    operands = [torch.rand(4, 3, dtype=torch.float64).mul(0.8).add(0.1).requires_grad_() for _ in range(2)]
    weight = torch.rand(3, dtype=torch.float64, requires_grad=True)
    for reduction in ("none", "sum", "mean", "weighted_mean"):

        def loss(x, y, w, reduction=reduction):
            return ours(w, reduction, pos_weight=2.0, label_smoothing=0.1)(x, y)

        assert torch.autograd.gradcheck(loss, (*operands, weight))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtype_and_finite_gradients_are_kept(dtype) -> None:
    x = torch.tensor([0.0, 1.0, 1.0, 0.0], dtype=dtype, requires_grad=True)
    loss = nn.BCELoss()(x, torch.tensor([0, 1, 0, 1]))
    loss.backward()
    assert loss.dtype == x.grad.dtype == dtype
    assert torch.isfinite(x.grad).all()
    assert loss == 50


def test_integer_and_bool_targets_and_number_weights_are_taken() -> None:
    x = torch.tensor([0.25, 0.5])
    right = torch.nn.BCELoss()(x, torch.tensor([0.0, 1.0]))
    for target in (
        torch.tensor([0, 1]),
        torch.tensor([False, True]),
        torch.tensor([0, 1], dtype=torch.float64),
    ):
        torch.testing.assert_close(nn.BCELoss(weight=1)(x, target), right)


def test_an_operand_written_to_before_backward_is_noticed() -> None:
    x, y = torch.tensor([0.25, 0.5], requires_grad=True), torch.tensor([0.0, 1.0])
    loss = nn.BCELoss()(x, y)
    y.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_value_and_grad_leaves_the_graph_alone() -> None:
    x = torch.tensor([0.25, 0.5], requires_grad=True)
    loss, gradient = nn.BCELoss(reduction="sum").value_and_grad(x, torch.tensor([0, 1]))
    assert not loss.requires_grad
    assert gradient.tolist() == pytest.approx([1 / 0.75, -2.0])
    assert x.grad is None


def test_a_lucid_tensor_cuts_the_graph_of_a_copied_tensor() -> None:
    x = torch.tensor([0.25], requires_grad=True)
    tensor = lucid.tensor(x)
    assert tensor.backend.info.name == "torch"
    assert not tensor.data.requires_grad
    assert tensor.numpy().tolist() == [0.25]


def test_bfloat16_comes_out_as_float32() -> None:
    tensor = lucid.tensor([1.5], dtype="bfloat16", backend="torch")
    assert tensor.dtype == torch.bfloat16
    assert tensor.numpy().dtype == np.float32


def test_nothing_to_do_for_a_compiler_s_values() -> None:
    backend = lucid.get_backend("torch")
    assert backend.host_values(torch.zeros(1))
    assert not backend.host_values(torch.zeros(1, device="meta"))
