"""The losses under PyTorch's compiler and its relatives: one graph for all sizes, and the right numbers."""

import subprocess
import sys

import pytest

from lucid import nn

torch = pytest.importorskip("torch", reason="needs PyTorch")

# PyTorch's compiler uses what PyTorch deprecates
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:torch.*")

WEIGHT = torch.tensor([0.5, 1.0, 2.0])
CRITERIA = {
    "plain": nn.BCELoss(),
    "sum": nn.BCELoss(reduction="sum", eps=1e-3),
    "weights": nn.BCELoss(WEIGHT, "weighted_mean", pos_weight=WEIGHT + 1, label_smoothing=0.1),
    "numbers": nn.BCELoss(2, "none", pos_weight=1.5),
    "ignore": nn.BCELoss(ignore_index=1),
    "logits": nn.BCEWithLogitsLoss(WEIGHT, pos_weight=3.0),
    "logits_sum": nn.BCEWithLogitsLoss(reduction="sum", ignore_index=0, label_smoothing=0.2),
}


@pytest.fixture(autouse=True)
def nothing_is_compiled():
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def batch(size, dtype=torch.float32):
    """Make probabilities, which will do for logits too, and labels."""
    torch.manual_seed(size)
    return torch.rand(size, 3, dtype=dtype, requires_grad=True), torch.randint(0, 2, (size, 3))


def loss_and_gradient(loss, x, y):
    result = loss(x, y)
    return result.detach(), *torch.autograd.grad(result.sum(), x)


@pytest.mark.parametrize("name", CRITERIA)
def test_one_graph_serves_all_batch_sizes_with_the_numbers_of_eager_mode(name):
    criterion = CRITERIA[name]

    def loss(x, y):
        return criterion(x, y)

    compiled = torch.compile(loss, fullgraph=True, dynamic=True, backend="aot_eager")
    loss_and_gradient(compiled, *batch(5))
    with torch.compiler.set_stance("fail_on_recompile"):
        for size in (2, 7, 100):
            found = loss_and_gradient(compiled, *batch(size))
            for one, other in zip(found, loss_and_gradient(loss, *batch(size)), strict=True):
                torch.testing.assert_close(one, other, rtol=3e-7, atol=0)


def test_there_is_no_graph_break():
    def loss(x, y):
        return CRITERIA["plain"](x.sigmoid(), y) + CRITERIA["logits"](x, y)

    explained = torch._dynamo.explain(loss)(*batch(5))
    assert (explained.graph_count, explained.graph_break_count) == (1, 0)


def test_a_step_of_training_compiled_to_machine_code():
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Sigmoid())
    x, y = torch.randn(6, 4), torch.randint(0, 2, (6, 3))

    def step(x, y):
        return nn.BCELoss()(model(x), y) + nn.BCEWithLogitsLoss()(model(x), y)

    found = loss_and_gradient(torch.compile(step, fullgraph=True), x.requires_grad_(), y)
    for one, other in zip(found, loss_and_gradient(step, x, y), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes_keep_theirs(dtype):
    x, y = batch(5, dtype)
    found = loss_and_gradient(torch.compile(nn.BCELoss(), fullgraph=True, backend="aot_eager"), x, y)
    for one, other in zip(found, loss_and_gradient(nn.BCELoss(), x, y), strict=True):
        assert one.dtype == dtype
        torch.testing.assert_close(one, other)


def test_under_autocast_too_the_loss_is_computed_in_float32():
    x, y = batch(5, torch.bfloat16)
    compiled = torch.compile(nn.BCELoss(), fullgraph=True, backend="aot_eager")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert compiled(x, y).dtype == torch.float32


def test_a_probability_out_of_range_is_nan_and_no_error():
    compiled = torch.compile(nn.BCELoss(reduction="none"), fullgraph=True, backend="aot_eager")
    x = torch.tensor([0.5, 1.5, -0.5, 0.25], requires_grad=True)
    loss, gradient = loss_and_gradient(compiled, x, torch.tensor([0.0, 0.0, 0.0, 2.0]))
    assert loss.isnan().tolist() == gradient.isnan().tolist() == [False, True, True, True]


def test_the_first_call_in_a_process_may_be_a_compiled_one():
    code = (
        "import torch, lucid\n"
        "loss = torch.compile(lucid.nn.BCELoss(), fullgraph=True, backend='eager')\n"
        "print(loss(torch.tensor([0.5]), torch.tensor([1])).item())"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith("0.69314")


class Criterion(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.loss = nn.BCELoss(WEIGHT, "weighted_mean", pos_weight=2.0, ignore_index=-1)

    def forward(self, x, y):
        return self.loss(x, y)


@pytest.mark.parametrize("strict", [True, False], ids=["strict", "nonstrict"])
def test_an_exported_program_takes_other_batch_sizes(strict):
    size = torch.export.Dim("size")
    x, y = (each.detach() for each in batch(5))
    program = torch.export.export(Criterion(), (x, y), dynamic_shapes=({0: size}, {0: size}), strict=strict)
    x, y = (each.detach() for each in batch(8))
    torch.testing.assert_close(program.module()(x, y), Criterion()(x, y))


def test_transforms_can_be_compiled_whole():
    x, y = (each.detach() for each in batch(5))
    each = torch.func.vmap(torch.func.grad(nn.BCELoss()))
    compiled = torch.compile(each, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, y), each(x, y))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_edges_have_the_gradients_of_eager_mode(dtype):
    tiny, near = torch.finfo(dtype).tiny, 1 - torch.finfo(dtype).eps
    edges = torch.tensor([0.0, -0.0, tiny / 4, tiny, 2 * tiny, 0.5, near, 1.0], dtype=dtype)
    labels = torch.tensor([0.0, 0.25, 1.0], dtype=dtype)
    x, y = (each.flatten() for each in torch.meshgrid(edges, labels, indexing="ij"))
    for eps in (None, 1e-3):
        criterion = nn.BCELoss(reduction="sum", eps=eps)
        compiled = torch.compile(criterion, fullgraph=True, backend="aot_eager")
        found = loss_and_gradient(compiled, x.requires_grad_(), y)
        for one, other in zip(found, loss_and_gradient(criterion, x, y), strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # shapes are compared while it traces
@pytest.mark.parametrize("tracer", ["make_fx", "jit"])
def test_older_tracers_record_the_loss_and_not_its_value(tracer):
    x, y = (each.detach() for each in batch(5))
    if tracer == "jit":
        with pytest.warns(DeprecationWarning, match="`torch.jit.trace` is deprecated"):
            traced = torch.jit.trace(nn.BCELoss().forward, (x, y))
    else:
        traced = torch.fx.experimental.proxy_tensor.make_fx(nn.BCELoss())(x, y)
    x = x / 2
    torch.testing.assert_close(traced(x, y), nn.BCELoss()(x, y))


def test_a_backward_pass_can_be_compiled_on_its_own():
    x, y = batch(5)
    (right,) = torch.autograd.grad(nn.BCELoss()(x, y), x)
    with torch._dynamo.compiled_autograd._enable(torch.compile(fullgraph=True, backend="eager")):
        nn.BCELoss()(x, y).backward()
    torch.testing.assert_close(x.grad, right)


def test_fake_tensors_give_fake_tensors():
    with torch._subclasses.FakeTensorMode():
        x, y = torch.rand(5, 3, requires_grad=True), torch.ones(5, 3)
        for criterion in (CRITERIA["plain"], CRITERIA["numbers"], nn.BCEWithLogitsLoss(2.0)):
            loss, gradient = loss_and_gradient(criterion, x, y)
            assert type(loss) is type(gradient) is torch._subclasses.FakeTensor
            assert gradient.shape == x.shape
