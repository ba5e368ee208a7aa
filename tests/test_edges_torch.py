"""The edges that are PyTorch's own: tensors that are no plain memory, and memory shared with NumPy."""

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid.errors import MixedBackendError

torch = pytest.importorskip("torch", reason="needs PyTorch")

criteria = pytest.mark.parametrize("criterion", [nn.BCELoss, nn.BCEWithLogitsLoss])


def halves():
    return torch.tensor([0.25, 0.5, 0.75])


def masked():
    with pytest.warns(UserWarning, match="prototype"):
        return torch.masked.masked_tensor(halves(), torch.tensor([True, False, True]))


KINDS = {
    "complex": (lambda: halves() + 0j, "expected a tensor of real numbers, not of dtype torch.complex64"),
    "sparse": (lambda: halves().to_sparse(), r"layout torch.sparse_coo; pass \.to_dense\(\)"),
    "masked": (masked, r"mask would be lost; pass \.to_tensor\(value\).*ignore_index"),
}


@criteria
@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_of_a_kind_that_has_no_loss_is_refused_with_the_reason(criterion, kind) -> None:
    make, message = KINDS[kind]
    for place in range(4):
        operands = [halves() for _ in range(4)]
        operands[place] = make()
        input, target, weight, pos_weight = operands
        with pytest.raises(TypeError, match=message):
            criterion(weight, pos_weight=pos_weight)(input, target)
    with pytest.raises(TypeError, match=message):
        lucid.Tensor(make())


class Named(torch.Tensor):
    """A subclass that is nothing more."""


@criteria
def test_a_subclass_gives_its_own_kind_back_with_the_numbers_of_a_plain_tensor(criterion) -> None:
    target = torch.tensor([0.0, 1.0, 1.0])
    plain, special = halves().requires_grad_(), halves().as_subclass(Named).requires_grad_()
    for input in (plain, special):
        loss = criterion(reduction="none")(input, target)
        assert type(loss) is type(input)
        loss.sum().backward()
    torch.testing.assert_close(special.grad.as_subclass(torch.Tensor), plain.grad, rtol=1e-6, atol=0)


@criteria
def test_numpy_s_scalars_as_weights_leave_the_graph_whole(criterion) -> None:
    input, target = halves().requires_grad_(), torch.tensor([0, 1, 1])
    criterion(np.float64(2), pos_weight=np.int64(3))(input, target).backward()
    found, input.grad = input.grad, None
    criterion(2.0, pos_weight=3)(input, target).backward()
    assert torch.equal(found, input.grad)


def test_a_numpy_array_beside_a_tensor_is_an_error_though_it_may_share_its_memory() -> None:
    shared = np.array([0.0, 1.0, 1.0])
    with pytest.raises(MixedBackendError, match="input lives on backend 'torch' and target on 'numpy'"):
        nn.BCELoss()(halves(), shared)
    assert nn.BCELoss()(halves(), torch.from_numpy(shared)) == nn.BCELoss()(halves(), shared.tolist())


@criteria
@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable:UserWarning")  # PyTorch's, of ours
def test_tensors_over_memory_that_is_read_only_work(criterion) -> None:
    frozen = torch.from_numpy(np.frombuffer(halves().numpy().tobytes(), np.float32))
    loss, gradient = criterion().value_and_grad(frozen, frozen)
    right = criterion().value_and_grad(halves(), halves())
    assert torch.equal(loss, right[0])
    assert torch.equal(gradient, right[1])


@criteria
def test_expanded_and_overlapping_tensors_have_the_bits_of_their_copies(criterion) -> None:
    buffer = torch.rand(100, generator=torch.Generator().manual_seed(0))
    for view in (buffer[:1].expand(50), buffer.unfold(0, 20, 5), buffer.as_strided((10, 10), (3, 1))):
        for each, right in zip(
            criterion().value_and_grad(view, view),
            criterion().value_and_grad(view.clone(), view.clone()),
            strict=True,
        ):
            assert torch.equal(each, right)


@criteria
def test_inference_tensors_work(criterion) -> None:
    with torch.inference_mode():
        input = halves() * 1
    assert criterion()(input, halves()) == criterion()(halves(), halves())


@pytest.mark.long
@criteria
def test_a_mean_over_more_elements_than_32_bits_count_is_right(criterion) -> None:
    input, target = torch.tensor([0.25]).expand(2**31 + 1), torch.zeros(1, dtype=torch.bool).expand(2**31 + 1)
    assert criterion()(input, target) == criterion()(input[:1000], target[:1000])
