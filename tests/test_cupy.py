"""The CuPy backend on a device: what it asks of CUDA, where the arrays lie, and that sums are reproducible.

It runs on a GPU; and on the CPU by ``-p cuda_on_cpu.plugin``, which also counts what CUDA is asked for.
"""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import lucid
from lucid import nn
from lucid.errors import BackendUnavailableError
from lucid.protocol import LossSpec, Needs

cupy = pytest.importorskip("cupy", reason="needs the cupy package")

try:
    BACKEND = lucid.get_backend("cupy")
except BackendUnavailableError as error:
    pytest.skip(f"needs CuPy on a GPU, or -p cuda_on_cpu.plugin: {error}", allow_module_level=True)

EXAMPLES = Path(__file__).parent.parent / "docs" / "examples"
REDUCTIONS = ("none", "sum", "mean", "weighted_mean")
ALL = Needs(input=True, target=True, weight=True)

kernels = pytest.mark.parametrize("kernel", [BACKEND.bce, BACKEND.bce_with_logits], ids=["bce", "logits"])
criteria = pytest.mark.parametrize("criterion", [nn.BCELoss, nn.BCEWithLogitsLoss])


@pytest.fixture
def cuda():
    """The stand-in for CUDA, which counts."""
    stand_in = sys.modules.get("cuda_on_cpu")
    if stand_in is None:
        pytest.skip("needs CuPy on the CPU, which counts: -p cuda_on_cpu.plugin")
    return stand_in


@pytest.fixture
def counted(cuda):
    """Count what CUDA is asked for in a call after the first, which compiles."""

    def count(function, *arguments, **options):
        function(*arguments, **options)
        with cuda.counting() as counts:
            function(*arguments, **options)
        return counts

    return count


def operands(shape=(6, 1000), dtype="float32"):
    """Probabilities, labels, and weights."""
    random = np.random.default_rng(0)
    arrays = random.random(shape), random.integers(0, 2, shape), random.random(shape)
    return tuple(cupy.asarray(array, dtype=dtype) for array in arrays)


def computed(kernel, spec, *arrays):
    """A loss and its gradients: the bytes."""
    loss, residuals = kernel.forward(spec, *arrays, needs_grad=True)
    return [each.tobytes() for each in (loss, *kernel.backward(spec, residuals, None, ALL))]


# What CUDA is asked for


@kernels
def test_an_unreduced_loss_is_one_launch_and_one_allocation(kernel, counted, cuda):
    counts = counted(kernel.forward, LossSpec("none"), *operands(), None, needs_grad=True)
    assert counts == cuda.Counts(launches=1, allocations=1)


@kernels
@pytest.mark.parametrize("reduction", REDUCTIONS[1:])
def test_a_reduction_is_two_launches_at_most_and_nothing_waits(kernel, reduction, counted):
    counts = counted(kernel.forward, LossSpec(reduction), *operands(), None, needs_grad=True)
    assert counts.launches <= 2
    assert counts.to_host == counts.synchronisations == 0


@kernels
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_all_gradients_are_one_launch(kernel, reduction, counted, cuda):
    spec = LossSpec(reduction)
    loss, residuals = kernel.forward(spec, *operands(), None, needs_grad=True)
    for upstream in (None, cupy.ones_like(loss)):
        counts = counted(kernel.backward, spec, residuals, upstream, ALL)
        assert counts == cuda.Counts(launches=1, allocations=3)


@criteria
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_value_and_its_gradient_are_two_launches_at_most(criterion, reduction, counted):
    x, y, _ = operands()
    counts = counted(criterion(reduction=reduction).value_and_grad, x, y)
    assert counts.launches <= 2
    assert counts.to_host == counts.synchronisations == 0


@kernels
@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_a_gradient_beside_the_loss_is_no_launch_more(kernel, reduction, counted):
    x, y, _ = operands()
    spec = LossSpec(reduction)
    alone = counted(kernel.forward, spec, x, y, None, None, needs_grad=True)
    both = counted(kernel.value_and_grad, spec, x, y, None, None)
    assert both.launches == alone.launches


@criteria
def test_an_empty_array_is_no_launch(criterion, counted):
    x, y, _ = operands((0, 3))
    for reduction in REDUCTIONS:
        counts = counted(criterion(reduction=reduction).value_and_grad, x, y)
        assert (counts.launches, counts.to_host, counts.synchronisations) == (0, 0, 0)


@criteria
def test_only_validation_copies_to_the_host(criterion, counted):
    x, y, w = operands()
    assert counted(criterion(w), x, y).to_host == 0
    assert counted(criterion(w, validate=True), x, y).to_host > 0


def test_a_step_of_training_copies_nothing_to_the_host(counted):
    x, y, _ = operands()

    def step():
        z = lucid.tensor(x, requires_grad=True)
        nn.BCEWithLogitsLoss()(z, lucid.tensor(y)).backward()
        return z.grad

    counts = counted(step)
    assert counts.to_host == counts.synchronisations == 0


def test_the_current_stream_is_launched_on(cuda):
    x, y, _ = operands()
    stream = cupy.cuda.Stream(non_blocking=True)
    before = cuda.launches_on(stream.ptr)
    with stream, cuda.counting() as counts:
        for reduction in REDUCTIONS:
            nn.BCELoss(reduction=reduction).value_and_grad(x, y)
    assert counts.launches > 0
    assert cuda.launches_on(stream.ptr) - before == counts.launches


# Where the elements lie

LAYOUTS = {
    "transposed": lambda a: a.T,
    "reversed": lambda a: a[::-1, :, ::-1],
    "stepped": lambda a: a[1::2, ::3, 1:],
    "permuted": lambda a: a.transpose(1, 2, 0),
    "offset by one element": lambda a: a.ravel()[1:],
    "broadcast": lambda a: cupy.broadcast_to(a[:1], a.shape),
    "no dimensions": lambda a: a[0, 0, 0],
}


@kernels
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_view_gives_the_bits_of_its_copy_and_is_not_copied(kernel, layout, counted):
    views = [layout(array) for array in operands((5, 6, 7))]
    copies = [view.copy() for view in views]
    for reduction in REDUCTIONS:
        spec = LossSpec(reduction)
        assert computed(kernel, spec, *views, None) == computed(kernel, spec, *copies, None)
        of_views, of_copies = (
            counted(kernel.forward, spec, *arrays, None, needs_grad=True) for arrays in (views, copies)
        )
        assert of_views == of_copies


def test_a_weight_that_broadcasts_is_not_copied(counted):
    x, y, w = operands()
    counts = counted(nn.BCELoss(w[0], reduction="none", pos_weight=w[:, :1]), x, y)
    assert counts.allocations == 1


# What the numbers are


@pytest.mark.parametrize(
    "dtype", ["bool", *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)), "float16"]
)
def test_a_target_of_any_dtype_is_taken_as_it_is(dtype, counted):
    x, y, _ = operands((300,))
    target = y.astype(dtype)
    right = nn.BCELoss()(x.get(), target.get())
    assert nn.BCELoss()(x, target).get() == pytest.approx(float(right), rel=1e-6)
    assert counted(nn.BCELoss(reduction="none"), x, target).allocations == 1


@kernels
@pytest.mark.parametrize("reduction", REDUCTIONS[1:])
def test_a_reduction_is_the_same_bits_every_time(kernel, reduction):
    arrays = operands((70_001,))
    first = computed(kernel, LossSpec(reduction), *arrays, None)
    assert all(computed(kernel, LossSpec(reduction), *arrays, None) == first for _ in range(2))


@kernels
@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("ignore_index", [None, 0.0])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_one_pass_over_the_data_gives_the_bits_of_two(kernel, reduction, ignore_index, dtype):
    x, y, w = operands((7, 143), dtype)
    spec = LossSpec(reduction, ignore_index=ignore_index)
    for arrays in ((x, y, None), (x, y, w), (x.T, y.T, w.T)):
        together = [each.tobytes() for each in kernel.value_and_grad(spec, *arrays, None)]
        assert together == computed(kernel, spec, *arrays, None)[:2]


def test_bfloat16_tensors_stay_bfloat16():
    pytest.importorskip("ml_dtypes", reason="needs the ml_dtypes package, which CuPy's bfloat16 is from")
    x = lucid.tensor([[0.5, -1.0], [2.0, 0.0]], dtype="bfloat16", requires_grad=True, backend="cupy")
    for result in (nn.Sigmoid()(x), nn.ReLU()(x), x @ x, 1 - x * x, x / 3, x.mean()):
        assert result.dtype == x.dtype
    assert (x @ x).tolist() == [[-1.75, -0.5], [1.0, -2.0]]
    model = nn.Linear(2, 1, dtype="bfloat16", backend="cupy")
    nn.BCEWithLogitsLoss()(model(x), lucid.tensor([[0], [1]], backend="cupy")).backward()
    assert model.weight.grad.dtype == x.grad.dtype == x.dtype


def test_an_array_of_bfloat16_gives_a_loss_of_bfloat16_and_its_own_backend():
    bfloat16 = pytest.importorskip("ml_dtypes", reason="needs the ml_dtypes package").bfloat16
    x, y, _ = operands((300,), bfloat16)
    loss, gradient = nn.BCELoss().value_and_grad(cupy.from_dlpack(x), y)
    assert loss.dtype == gradient.dtype == bfloat16
    assert loss.item() == pytest.approx(
        nn.BCELoss()(x.get().astype("float64"), y.get().astype("float64")), rel=2**-8
    )


@kernels
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_subnormal_numbers_survive_a_gpu_that_flushes_them(kernel, dtype, cuda):
    tiny = float(np.finfo(dtype).smallest_subnormal)
    x = cupy.asarray([tiny, 3 * tiny, 1000 * tiny, 0.5, 1.0], dtype)
    y, w = cupy.asarray([0, 0, 0, 1, 1], dtype), cupy.asarray([1, 1, 1, tiny, tiny], dtype)
    right = computed(kernel, LossSpec("none"), x, y, w, None)
    with cuda.flushing_subnormals():
        assert computed(kernel, LossSpec("none"), x, y, w, None) == right


# Other libraries and programs


def test_arrays_go_in_and_out_by_dlpack_without_a_copy():
    x, y, _ = operands()
    assert nn.BCELoss()(cupy.from_dlpack(x), y) == nn.BCELoss()(x, y)
    tensor = lucid.tensor(x)
    assert tensor.__dlpack_device__() == x.__dlpack_device__()
    assert cupy.from_dlpack(tensor).data.ptr == tensor.data.data.ptr


def test_the_classifier_of_the_examples_trains_on_cupy(tmp_path):
    for module in ("sklearn", "matplotlib", "tqdm"):
        pytest.importorskip(module, reason=f"{module} is not installed; see the extra [examples]")
    stand_in = ["-m", "cuda_on_cpu"] if "cuda_on_cpu" in sys.modules else []
    script = EXAMPLES / "train_classifier.py"
    result = subprocess.run(
        [sys.executable, "-W", "error", *stand_in, script, "--backend", "cupy", "--epochs", "60"],
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if not key.startswith("LUCID_")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "cupy: 100%" in result.stderr
    assert float(result.stdout.split("test accuracy: ")[1].split()[0]) >= 0.95
