"""The losses in PyTorch's own operations, which devices, compilers and transforms compute, on the CPU."""

import pytest

import lucid
from lucid.testing import conformance
from lucid.testing.cases import KERNELS

torch = pytest.importorskip("torch", reason="needs PyTorch")

UNREDUCED = [(dtype, "none") for dtype in ("float16", "bfloat16", "float32", "float64")]
REDUCED = [("float64", reduction) for reduction in ("sum", "mean", "weighted_mean")]


@pytest.fixture
def definition(monkeypatch):
    """Give the PyTorch backend, and keep the host's arithmetic away from it."""
    with lucid.use_backend("torch") as backend:
        monkeypatch.setattr("lucid_torch.kernels.on_host", lambda *tensors: False)
        yield backend


@pytest.mark.parametrize(("dtype", "reduction"), UNREDUCED + REDUCED)
@conformance.cases
def test_a_device_s_numbers_are_right(definition, dtype, kernel, regime, option, reduction):
    conformance.test_loss(definition, dtype, kernel, regime, option, reduction)
    conformance.test_gradients(definition, dtype, kernel, regime, option, reduction)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("reduction", ["sum", "mean"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_a_device_adds_accurately(definition, dtype, kernel, reduction):
    conformance.test_many_elements_are_added_accurately(definition, dtype, kernel, reduction)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("layout", conformance.LAYOUTS)
def test_a_layout_on_a_device_does_not_change_a_bit(definition, kernel, layout):
    for dtype in ("float32", "float64"):
        conformance.test_layout_does_not_change_a_bit(definition, dtype, kernel, layout)
