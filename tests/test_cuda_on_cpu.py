"""The stand-in for CUDA does what CuPy asks of it, and says what it can't do."""

import os
import platform
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

cuda_on_cpu = pytest.importorskip(
    "cuda_on_cpu", reason="needs -p cuda_on_cpu.plugin, which runs CuPy on the CPU"
)
cupy = pytest.importorskip("cupy", reason="needs the cupy package")

from cuda_on_cpu import build  # noqa: E402  # there is nothing to import without it

random = np.random.default_rng(0)
FLOATS = ("float16", "float32", "float64")
ROUNDING = {"float16": 2e-3, "float32": 2e-6, "float64": 1e-14}


def run(folder, code, *options):
    """Run code with the stand-in in a process of its own."""
    script = folder / "script.py"
    script.write_text("import cupy\n" + code)
    return subprocess.run(
        [sys.executable, "-m", "cuda_on_cpu", *options, script],
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


# What CuPy's own kernels compute


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "int64", "uint64", *FLOATS])
def test_arrays_go_to_the_device_and_back(dtype):
    there = random.integers(0, 2, (3, 4, 5)).astype(dtype)
    back = cupy.asarray(there).get()
    assert back.dtype == there.dtype
    np.testing.assert_array_equal(back, there)


@pytest.mark.parametrize("dtype", FLOATS)
def test_arithmetic_is_numpys(dtype):
    x, y = random.random((4, 1, 9)).astype(dtype) + 1, random.random((5, 1)).astype(dtype)
    device_x, device_y = cupy.asarray(x), cupy.asarray(y)
    for name in ("add", "divide", "maximum", "less"):
        result = getattr(cupy, name)(device_x, device_y).get()
        np.testing.assert_allclose(result, getattr(np, name)(x, y), rtol=ROUNDING[dtype], err_msg=name)
    for name in ("exp", "log1p", "isnan"):
        result = getattr(cupy, name)(device_x).get()
        np.testing.assert_allclose(result, getattr(np, name)(x), rtol=ROUNDING[dtype], err_msg=name)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2)], ids=str)
def test_reductions_are_numpys(dtype, axis):
    x = random.random((5, 7, 11)).astype(dtype)
    for name in ("sum", "mean", "max"):
        result = getattr(cupy, name)(cupy.asarray(x), axis=axis).get()
        np.testing.assert_allclose(result, getattr(np, name)(x, axis=axis), rtol=5e-3, err_msg=name)


def test_views_and_masks_are_numpys():
    x = random.normal(size=(12, 13))
    y = cupy.asarray(x)
    for array in (x, y):
        array[1:4, ::2] = 7
        array[array > 5] = 0
    np.testing.assert_array_equal(y[::2, ::-3].T.copy().get(), x[::2, ::-3].T)
    np.testing.assert_array_equal(y[y > 0].get(), x[x > 0])
    np.testing.assert_array_equal(cupy.where(y > 0, y, -y).get(), np.abs(x))


@pytest.mark.parametrize("dtype", FLOATS)
def test_matrix_products_are_numpys(dtype):
    x, y = random.random((2, 9, 17)).astype(dtype), random.random((2, 17, 8)).astype(dtype)
    a, b = cupy.asarray(x), cupy.asarray(y)
    for product, right in (
        (a @ b, x @ y),
        (a[:, None] @ b, x[:, None] @ y),
        (a[0] @ b[0], x[0] @ y[0]),
        (b[0].T @ a[0].T, y[0].T @ x[0].T),
        (a[0] @ b[0, :, 0], x[0] @ y[0, :, 0]),
        (a[0, 0] @ b[0, :, 0], x[0, 0] @ y[0, :, 0]),
    ):
        np.testing.assert_allclose(product.get(), right, rtol=10 * ROUNDING[dtype])


# What a kernel can do

KERNELS = r"""
extern "C" __global__ void reverse(int* x) {
  __shared__ int all[256];
  all[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  x[threadIdx.x] = all[blockDim.x - 1 - threadIdx.x];
}
extern "C" __global__ void sum_of_warps(const int* x, int* sum, unsigned* odd) {
  int mine = x[blockIdx.x * blockDim.x + threadIdx.x];
  for (int distance = 16; distance; distance /= 2) mine += __shfl_down_sync(~0u, mine, distance);
  if (threadIdx.x % 32 == 0) atomicAdd(sum, mine);
  *odd = __ballot_sync(~0u, threadIdx.x & 1);
}
extern "C" __global__ void part_ways() {
  if (threadIdx.x < 32) __syncwarp();
  else if (threadIdx.x > 40) __syncthreads();
  else __syncwarp();
}
extern "C" __global__ void double_it(float* x) { x[threadIdx.x] *= 2; }
extern "C" __global__ void nothing() {}
"""


@pytest.fixture
def kernel():
    return cupy.RawModule(code=KERNELS).get_function


def test_threads_of_a_block_share_memory_and_wait_for_one_another(kernel):
    x = cupy.arange(256, dtype="int32")
    kernel("reverse")((1,), (256,), (x,))
    assert x.get().tolist() == list(range(255, -1, -1))


def test_lanes_of_a_warp_exchange_values(kernel):
    total, odd = cupy.zeros(1, "int32"), cupy.zeros(1, "uint32")
    kernel("sum_of_warps")((3,), (64,), (cupy.arange(192, dtype="int32"), total, odd))
    assert total.item() == 192 * 191 // 2
    assert odd.item() == 0xAAAAAAAA


def test_a_template_is_found_by_its_expression():
    code = "template <class T, int n> __global__ void fill(T* x) { x[threadIdx.x] = T(n) / 2; }"
    module = cupy.RawModule(code=code, name_expressions=["fill<float, 3>", "fill<int, 9>"])
    for expression, dtype, value in (("fill<float, 3>", "float32", 1.5), ("fill<int, 9>", "int32", 4)):
        x = cupy.empty(4, dtype)
        module.get_function(expression)((1,), (4,), (x,))
        assert x.get().tolist() == [value] * 4


def test_subnormal_numbers_are_flushed_where_asked(kernel):
    tiny = np.float32(1e-40)
    for flushes, doubled in ((False, 2 * tiny), (True, 0)):
        x = cupy.full(1, tiny)
        if flushes:
            with cuda_on_cpu.flushing_subnormals():
                kernel("double_it")((1,), (1,), (x,))
        else:
            kernel("double_it")((1,), (1,), (x,))
        assert x.get()[0] == doubled


# What is an error


def test_a_kernel_that_does_not_compile_is_shown_with_the_compilers_message():
    with pytest.raises(cupy.cuda.compiler.CompileException, match="undeclared_name"):
        cupy.RawKernel('extern "C" __global__ void f() { undeclared_name; }', "f").compile()


def test_a_block_too_large_is_refused(kernel):
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="InvalidValue"):
        kernel("nothing")((1,), (2048,), ())


def test_threads_that_wait_at_different_barriers_are_an_error(kernel, capfd):
    with pytest.raises(cupy.cuda.driver.CUDADriverError, match="LaunchFailure"):
        kernel("part_ways")((1,), (64,), ())
    assert "threads of block (0, 0, 0) wait at different barriers" in capfd.readouterr().err


def test_memory_that_is_not_there_is_refused_and_new_memory_is_nan():
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
        cupy.empty(1 << 50, "uint8")
    with cupy.cuda.using_allocator(None):
        assert np.isnan(cupy.empty(1000).get()).all()


def test_compiled_gpu_code_says_that_it_can_not_run(tmp_path):
    result = run(tmp_path, "cupy.sort(cupy.arange(3))")
    assert result.returncode != 0
    assert "cupy.sort is compiled GPU code" in result.stderr


@pytest.mark.parametrize(("index", "caught"), [("n - 1", False), ("n", True)])
def test_the_sanitizer_catches_an_access_out_of_bounds_and_nothing_else(tmp_path, index, caught):
    code = f"""
source = 'extern "C" __global__ void write(double* x, int n) {{ x[{index}] = 1; }}'
cupy.RawKernel(source, "write")((1,), (1,), (cupy.empty(7), 7))
print("done")
"""
    result = run(tmp_path, code, "--sanitize")
    assert ("heap-buffer-overflow" in result.stderr) is caught, result.stderr
    assert (result.stdout == "done\n") is not caught
    if caught:
        assert "WRITE of size 8" in result.stderr
        assert re.search(r"in write .*kernel\.cu:1\n", result.stderr)


# What is counted


def test_launches_allocations_copies_and_waits_are_counted(kernel):
    kernel("nothing")((1,), (1,), ())
    with cuda_on_cpu.counting() as counts:
        x = cupy.empty(3)
        kernel("nothing")((1,), (1,), ())
        kernel("nothing")((1,), (1,), ())
        cupy.cuda.Device().synchronize()
    assert counts == cuda_on_cpu.Counts(launches=2, allocations=1, synchronisations=1)
    with cuda_on_cpu.counting() as counts:
        x.get()
    assert counts.to_host == 1


def test_launches_are_counted_for_each_stream(kernel):
    stream = cupy.cuda.Stream(non_blocking=True)
    with stream:
        kernel("nothing")((1,), (1,), ())
    null = cuda_on_cpu.launches_on(0)
    kernel("nothing")((1,), (1,), ())
    assert cuda_on_cpu.launches_on(stream.ptr) >= 1  # a handle may have been another stream's
    assert cuda_on_cpu.launches_on(0) == null + 1


def test_events_take_turns(kernel):
    stream, events = cupy.cuda.Stream(), [cupy.cuda.Event() for _ in range(2)]
    for event in events:
        event.record(stream)
    stream.wait_event(events[1])
    stream.synchronize()
    assert stream.done
    assert cupy.cuda.get_elapsed_time(*events) >= 0


# Where it can be used


def test_it_has_to_come_before_cupy(tmp_path):
    code = "import cupy, cuda_on_cpu\ncuda_on_cpu.install()"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "comes too late: CuPy has been imported" in result.stderr


def test_another_machine_is_told(monkeypatch):
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    with pytest.raises(build.CannotStandInError, match=r"Linux on x86-64 only, and this is Linux on aarch64"):
        build.identity()


def test_a_missing_compiler_is_named_with_what_installs_it(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(
        build.CannotStandInError, match=r"g\+\+, which is not installed; .*apt-get install g\+\+"
    ):
        build.identity()


def test_what_is_built_lies_in_the_cache_that_the_environment_names(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_ON_CPU_CACHE", str(tmp_path))
    assert build.cache() == tmp_path
    monkeypatch.delenv("CUDA_ON_CPU_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert build.cache() == tmp_path / "lucid-cuda-on-cpu"


def test_the_identity_changes_with_the_kernels_flags(monkeypatch):
    plain = build.identity()
    monkeypatch.setenv("CUDA_ON_CPU_FLAGS", "-O3")
    assert build.identity() != plain
