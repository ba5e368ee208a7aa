"""What the CuPy backend says when CUDA refuses or fails, and that it touches nobody's arrays then.

It needs the stand-in for CUDA, which fails as asked: ``-p cuda_on_cpu.plugin``.
"""

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid.protocol import LossSpec

cuda = pytest.importorskip("cuda_on_cpu", reason="needs -p cuda_on_cpu.plugin, which fails as asked")
cupy = pytest.importorskip("cupy", reason="needs the cupy package")

BACKEND = lucid.get_backend("cupy")
OUT_OF_MEMORY, UNAVAILABLE, LAUNCH_FAILED, UNKNOWN = 2, 46, 719, 999  # a lost device is any of the last two

FAILURES = [  # what CUDA refuses, and how; the error, and what it says
    ({"allocations": OUT_OF_MEMORY}, MemoryError, "is out of memory"),
    ({"launches": OUT_OF_MEMORY}, MemoryError, "is out of memory"),
    ({"allocations": UNAVAILABLE}, RuntimeError, "is busy or unavailable"),
    ({"launches": LAUNCH_FAILED}, RuntimeError, "failed"),
    ({"launches": UNKNOWN}, RuntimeError, "failed"),
]


def operands():
    """Probabilities, labels, and weights."""
    random = np.random.default_rng(0)
    arrays = random.random(70), random.random(70) > 0.5, random.random(70)
    return [cupy.asarray(array, "float32") for array in arrays]


@pytest.mark.parametrize("criterion", [nn.BCELoss, nn.BCEWithLogitsLoss])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "weighted_mean"])
@pytest.mark.parametrize(("failure", "kind", "told"), FAILURES)
def test_a_device_that_fails_is_named_and_no_array_is_touched(criterion, reduction, failure, kind, told):
    arrays = operands()
    before = [array.tobytes() for array in arrays]
    loss = criterion(arrays[2], reduction=reduction)
    right = [each.tobytes() for each in loss.value_and_grad(*arrays[:2])]
    for call in (loss, loss.value_and_grad):
        with (
            cuda.failing(**failure),
            pytest.raises(kind, match=rf"^CUDA device 0 \(a CPU.*\) {told}: .*your arrays"),
        ):
            call(*arrays[:2])
    assert [array.tobytes() for array in arrays] == before
    assert [each.tobytes() for each in loss.value_and_grad(*arrays[:2])] == right


def test_a_backward_that_fails_leaves_no_gradient_behind():
    x, y, _ = operands()
    tensor = lucid.tensor(x, requires_grad=True)
    loss, seed = nn.BCELoss()(tensor, lucid.tensor(y)), cupy.ones((), "float32")
    with cuda.failing(launches=LAUNCH_FAILED), pytest.raises(RuntimeError, match=r"^CUDA device 0 .* failed"):
        loss.backward(seed)
    assert tensor.grad is None
    assert tensor.data.tobytes() == x.tobytes()


@pytest.mark.parametrize(
    ("refused", "call"),
    [
        ("allocations", lambda x: BACKEND.asarray(np.zeros(3))),
        ("allocations", lambda x: BACKEND.asarray(x, copy=True)),
        ("to_host", BACKEND.to_numpy),
    ],
    ids=["from the host", "on the device", "to the host"],
)
def test_a_copy_that_fails_names_the_device(refused, call):
    x, _, _ = operands()
    failing = cuda.failing(**{refused: UNAVAILABLE})
    with failing, pytest.raises(RuntimeError, match=r"^CUDA device 0 .* is busy or unavailable"):
        call(x)


def test_an_array_too_large_for_the_memory_pool_names_the_device():
    pool = cupy.get_default_memory_pool()
    x = cupy.zeros(1 << 16, "float32")
    limit = pool.get_limit()
    pool.free_all_blocks()
    pool.set_limit(size=pool.total_bytes())
    try:
        with pytest.raises(MemoryError, match=r"^CUDA device 0 .* is out of memory: .*your arrays"):
            BACKEND.asarray(np.zeros(1 << 20))
    finally:
        pool.set_limit(size=limit)
    assert not x.any()


def test_a_kernel_that_does_not_compile_says_what_may_be_missing(monkeypatch):
    x, *others = (
        cupy.zeros(3, dtype) for dtype in ("float64", "uint16", "uint32", "uint8")
    )  # never compiled
    monkeypatch.setenv("CUDA_ON_CPU_COMPILER", "false")  # which fails
    with pytest.raises(RuntimeError, match=r"don't compile: .*install \"cupy-cuda1[23]x\[ctk\]\"") as caught:
        BACKEND.bce.forward(LossSpec("none"), x, *others, needs_grad=False)
    assert isinstance(caught.value.__cause__, cupy.cuda.compiler.CompileException)
