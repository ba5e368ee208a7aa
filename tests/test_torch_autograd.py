"""The losses under everything that PyTorch can do with a derivative."""

import pytest

from lucid import nn

torch = pytest.importorskip("torch", reason="needs PyTorch")

# PyTorch's own forward mode still uses it
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")

CRITERIA = {"bce": nn.BCELoss, "bce_with_logits": nn.BCEWithLogitsLoss}
criteria = pytest.mark.parametrize("criterion", CRITERIA.values(), ids=CRITERIA)
reductions = pytest.mark.parametrize("reduction", ["none", "sum", "mean", "weighted_mean"])

POS_WEIGHT = torch.tensor([0.5, 2.0, 3.0], dtype=torch.float64)


def operands(*shape):
    """Make an input, a target and a weight away from the edges, all of which want a gradient."""
    torch.manual_seed(0)
    return [torch.rand(shape, dtype=torch.float64).mul(0.8).add(0.1).requires_grad_() for _ in range(3)]


def loss_of(criterion, reduction="mean", **options):
    return lambda x, y, w: criterion(w, reduction, **options)(x, y)


@criteria
@reductions
@pytest.mark.parametrize(
    "options", [{}, {"pos_weight": POS_WEIGHT, "label_smoothing": 0.1}], ids=["plain", "all"]
)
def test_first_derivatives_in_both_modes_and_in_batches(criterion, reduction, options):
    loss = loss_of(criterion, reduction, **options)
    assert torch.autograd.gradcheck(
        loss, operands(2, 3), check_forward_ad=True, check_batched_grad=True, check_batched_forward_grad=True
    )


@criteria
@reductions
def test_second_derivatives_in_both_modes_and_in_batches(criterion, reduction):
    for options in ({}, {"pos_weight": POS_WEIGHT, "label_smoothing": 0.1}):
        loss = loss_of(criterion, reduction, **options)
        assert torch.autograd.gradgradcheck(
            loss, operands(3), check_fwd_over_rev=True, check_rev_over_rev=True, check_batched_grad=True
        )


def test_second_derivatives_are_right_for_hard_labels_and_weights_of_0():
    p = torch.tensor([0.25, 0.25], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    w = torch.tensor([0.0, 0.0], dtype=torch.float64, requires_grad=True)
    ones = torch.ones(2, dtype=torch.float64)
    by_p, by_y, by_w = torch.autograd.grad(nn.BCELoss(w, "none")(p, y), (p, y, w), ones, create_graph=True)
    assert by_p.tolist() == by_y.tolist() == [0, 0]
    (p_w,) = torch.autograd.grad(by_p, w, ones, retain_graph=True)
    (w_y,) = torch.autograd.grad(by_w, y, ones)
    torch.testing.assert_close(p_w, ((p - y) / p / (1 - p)).detach())
    torch.testing.assert_close(w_y, (torch.log(1 - p) - torch.log(p)).detach())


def test_the_second_derivative_at_a_logit_of_0_is_a_quarter():
    z = torch.zeros(1, dtype=torch.float64)
    for label in (0.0, 0.5, 1.0):
        second = torch.func.hessian(lambda z, y=label: nn.BCEWithLogitsLoss()(z, torch.full_like(z, y)))(z)
        assert second.item() == 0.25


def test_a_function_of_torch_func_gives_what_backward_gives():
    x, y, w = operands(4, 3)
    loss = loss_of(nn.BCELoss, pos_weight=POS_WEIGHT)
    right = torch.autograd.grad(loss(x, y, w), (x, y, w))
    x, y, w = (each.detach() for each in (x, y, w))
    found = torch.func.grad(loss, argnums=(0, 1, 2))(x, y, w)
    value, pull = torch.func.vjp(loss, x, y, w)
    pulled = pull(torch.ones_like(value))
    for one, other, expected in zip(found, pulled, right, strict=True):
        torch.testing.assert_close(one, expected)
        torch.testing.assert_close(other, expected)
    value, pushed = torch.func.jvp(loss, (x, y, w), (x, y, w))
    torch.testing.assert_close(pushed, sum((g * t).sum() for g, t in zip(right, (x, y, w), strict=True)))
    torch.testing.assert_close(value, loss(x, y, w))


def test_a_hessian_is_that_of_the_formula():
    x, y, w = (each.detach() for each in operands(5))
    hessian = torch.func.hessian(loss_of(nn.BCELoss, "sum"))(x, y, w)
    torch.testing.assert_close(hessian, torch.diag(w * (y / x**2 + (1 - y) / (1 - x) ** 2)))


def test_gradients_of_each_sample_of_a_model_at_once():
    torch.manual_seed(0)
    model, criterion = torch.nn.Linear(3, 1), nn.BCEWithLogitsLoss()
    x, y = torch.randn(6, 3), torch.randint(0, 2, (6, 1))
    parameters = dict(model.named_parameters())

    def loss(parameters, x, y):
        return criterion(torch.func.functional_call(model, parameters, (x,)), y)

    batched = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0, 0))(parameters, x, y)
    for place in range(6):
        single = torch.autograd.grad(loss(parameters, x[place], y[place]), tuple(parameters.values()))
        for name, gradient in zip(parameters, single, strict=True):
            torch.testing.assert_close(batched[name][place], gradient)


def test_vmap_over_losses_of_integers_and_bools():
    x, y = torch.rand(4, 3), torch.tensor([[0, 1, 1]] * 4)
    right = torch.nn.functional.binary_cross_entropy(x, y.float(), reduction="none").mean(dim=1)
    for target in (y, y.bool()):
        torch.testing.assert_close(torch.func.vmap(nn.BCELoss())(x, target), right)


def test_dual_numbers_carry_a_tangent_through():
    x, y, _ = operands(4)
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x.detach(), torch.ones_like(x))
        tangent = torch.autograd.forward_ad.unpack_dual(nn.BCELoss()(dual, y.detach())).tangent
    (gradient,) = torch.autograd.grad(nn.BCELoss()(x, y), x)
    torch.testing.assert_close(tangent, gradient.sum())


def test_an_operand_written_to_before_backward_is_noticed():
    x, y = torch.tensor([0.25, 0.5], requires_grad=True), torch.tensor([0.0, 1.0])
    loss = nn.BCELoss()(x, y)
    y.zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_graph_can_be_walked_twice_if_it_is_retained():
    x = torch.tensor([0.25, 0.5], requires_grad=True)
    loss = nn.BCELoss()(x, torch.tensor([0, 1]))
    loss.backward(retain_graph=True)
    first = x.grad.clone()
    loss.backward()
    assert torch.equal(x.grad, 2 * first)
    with pytest.raises(RuntimeError, match="a second time"):
        loss.backward()


def test_what_is_saved_for_backward_can_be_moved_by_hooks():
    moved = []

    def pack(tensor):
        moved.append(tensor.shape)
        return tensor.clone()

    x, y = torch.rand(7, requires_grad=True), torch.ones(7)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = nn.BCELoss()(x, y)
    loss.backward()
    assert moved == [x.shape, y.shape]
    torch.testing.assert_close(x.grad, -1 / (7 * x.detach()))


def test_no_graph_is_made_where_none_is_wanted():
    x, y = torch.rand(3, requires_grad=True), torch.ones(3)
    with torch.no_grad():
        assert not nn.BCELoss()(x, y).requires_grad
    assert not nn.BCELoss()(x.detach(), y).requires_grad
    assert nn.BCELoss()(x, y).requires_grad


def test_value_and_grad_leaves_the_graph_alone():
    x = torch.tensor([0.25, 0.5], requires_grad=True)
    loss, gradient = nn.BCELoss(reduction="sum").value_and_grad(x, torch.tensor([0, 1]))
    assert not loss.requires_grad
    assert not gradient.requires_grad
    assert gradient.tolist() == pytest.approx([1 / 0.75, -2.0])
    assert x.grad is None
