"""PyTorch's own samples for its two losses (OpInfo and ModuleInfo), run against ours."""

import importlib
from functools import partial

import pytest

import lucid.nn.functional as F

torch = pytest.importorskip("torch", reason="needs PyTorch")
pytest.importorskip("expecttest", reason="PyTorch's testing modules need expecttest")

operators = importlib.import_module("torch.testing._internal.common_methods_invocations")
modules = importlib.import_module("torch.testing._internal.common_modules")
ours = importlib.import_module("lucid_torch.nn")

OPERATORS = {
    "binary_cross_entropy": F.binary_cross_entropy,
    "binary_cross_entropy_with_logits": F.binary_cross_entropy_with_logits,
}
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
both_operators = pytest.mark.parametrize("name", OPERATORS)
both_modules = pytest.mark.parametrize("name", ["BCELoss", "BCEWithLogitsLoss"])
dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=str)

# PyTorch's forward mode uses what PyTorch deprecates
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")


def samples(name, dtype):
    (info,) = (info for info in operators.op_db if info.name == f"nn.functional.{name}")
    return list(info.sample_inputs("cpu", dtype, requires_grad=True))


def module_inputs(name, dtype):
    theirs = getattr(torch.nn, name)
    (info,) = (info for info in modules.module_db if info.module_cls is theirs)
    return info.module_inputs_func(info, device="cpu", dtype=dtype, requires_grad=True, training=True)


def loss_and_gradients(loss, operands):
    result = loss(*operands)
    wanted = [each for each in operands if each.requires_grad]
    return result.detach(), *torch.autograd.grad(result.sum(), wanted)


def assert_same(ours, theirs, operands):
    """Compare with PyTorch's results in float64: in float16 they are not PyTorch's strength."""
    wide = [each.detach().double().requires_grad_(each.requires_grad) for each in operands]
    pairs = zip(loss_and_gradients(ours, operands), loss_and_gradients(theirs, wide), strict=True)
    for mine, right in pairs:
        assert mine.dtype == operands[0].dtype
        torch.testing.assert_close(mine, right.to(mine.dtype))


def widened(options):
    return {name: each.double() if torch.is_tensor(each) else each for name, each in options.items()}


@both_operators
@dtypes
def test_pytorch_s_samples_have_pytorch_s_results_and_gradients(name, dtype):
    theirs = getattr(torch.nn.functional, name)
    found = samples(name, dtype)
    assert len(found) >= 11
    for sample in found:
        assert_same(
            partial(OPERATORS[name], **sample.kwargs),
            partial(theirs, **widened(sample.kwargs)),
            (sample.input, *sample.args),
        )


@both_operators
def test_pytorch_s_samples_pass_gradcheck_and_gradgradcheck_in_all_modes(name):
    for sample in samples(name, torch.float64):

        def loss(*operands, kwargs=sample.kwargs):
            return OPERATORS[name](*operands, **kwargs)

        operands = (sample.input, *sample.args)
        assert torch.autograd.gradcheck(
            loss, operands, fast_mode=True, check_forward_ad=True, check_batched_grad=False
        )
        assert torch.autograd.gradgradcheck(loss, operands, fast_mode=True, check_fwd_over_rev=True)


@both_modules
@dtypes
def test_pytorch_s_module_samples_have_pytorch_s_results_and_gradients(name, dtype):
    found = module_inputs(name, dtype)
    assert len(found) == 6
    for sample in found:
        built = sample.constructor_input
        mine = getattr(ours, name)(*built.args, **built.kwargs)
        theirs = getattr(torch.nn, name)(*built.args, **built.kwargs)
        assert list(mine.state_dict()) == list(theirs.state_dict())
        assert_same(mine, theirs.double(), sample.forward_input.args)


@both_modules
def test_pytorch_s_module_samples_have_the_results_of_their_reference(name):
    for sample in module_inputs(name, torch.float64):
        built, (input, target) = sample.constructor_input, sample.forward_input.args
        module = getattr(ours, name)(*built.args, **built.kwargs)
        right = sample.reference_fn(module, input, target)
        torch.testing.assert_close(module(input, target), right)
