"""What the CuPy backend does where it can't run, and what of it needs no GPU to be tested."""

import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import lucid
import lucid_cupy
from lucid.errors import BackendUnavailableError

EXPECTED = ("not installed", "broken", "no CUDA driver", "too old", "no GPU", "driver fails", "NVRTC, is not")


class FakeCUDAError(RuntimeError):
    def __init__(self, status):
        super().__init__(f"cudaError {status}")
        self.status = status


def fake_cupy(*, count=None, status=None, driver=0, runtime=12090):
    """A CuPy whose runtime finds `count` devices, or fails with `status`, and which finds no compiler."""

    def device_count():
        if status is not None:
            raise FakeCUDAError(status)
        return count

    def compiler_version():
        raise RuntimeError("libnvrtc.so: no such file\nand more of that")

    functions = SimpleNamespace(
        CUDARuntimeError=FakeCUDAError,
        getDeviceCount=device_count,
        driverGetVersion=lambda: driver,
        runtimeGetVersion=lambda: runtime,
    )
    compiler = SimpleNamespace(getVersion=compiler_version)
    return SimpleNamespace(cuda=SimpleNamespace(runtime=functions, nvrtc=compiler))


def package_that(does, tmp_path, monkeypatch):
    """Put a package named cupy first on the path; importing it does that."""
    (tmp_path / "cupy").mkdir()
    (tmp_path / "cupy" / "__init__.py").write_text(does)
    monkeypatch.setitem(sys.modules, "cupy", None)  # what is there now comes back after the test
    del sys.modules["cupy"]
    monkeypatch.syspath_prepend(tmp_path)


def reason():
    """Why the backend can't be created: the error that a user sees."""
    with pytest.raises(BackendUnavailableError) as caught:
        lucid_cupy.lucid_create_backend("cupy")
    return caught.value


def run(code, **environment):
    """Run Python code in a process of its own."""
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_backend_is_listed_and_described_without_importing_cupy():
    code = (
        "import sys, lucid, lucid_cupy\n"
        "assert 'cupy' in [entry.name for entry in lucid.backends()]\n"
        "assert lucid_cupy.lucid_backend_info('cupy').array_types == ('cupy:ndarray',)\n"
        "assert not {'cupy', 'numpy', 'array_api_compat'} & set(sys.modules), sorted(sys.modules)\n"
    )
    assert run(code).stderr == ""


def test_other_names_are_left_to_other_plugins():
    assert lucid_cupy.lucid_backend_info("cupy2") is None
    assert lucid_cupy.lucid_create_backend("cupy2") is None


def test_a_missing_cupy_names_the_extras_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    error = reason()
    assert "CuPy is not installed" in str(error)
    assert 'pip install "lucid-bce[cupy-cuda12x]"' in str(error)
    assert "cupy-cuda13x" in str(error)
    assert error.__cause__ is None
    assert error.__suppress_context__


@pytest.mark.parametrize(
    ("does", "cause", "told"),
    [
        ("raise OSError('libcublas.so.12: no such file')", OSError, "OSError: libcublas.so.12"),
        ("raise ImportError('CuPy is not correctly installed.')", ImportError, "not correctly installed"),
        ("import a_module_that_cupy_needs", ModuleNotFoundError, "a_module_that_cupy_needs"),
        ("raise SystemExit('wrong licence')", SystemExit, "SystemExit: wrong licence"),
        ("", AttributeError, "no attribute 'cuda'"),
    ],
)
def test_a_broken_cupy_is_told_from_a_missing_one(does, cause, told, tmp_path, monkeypatch):
    package_that(does, tmp_path, monkeypatch)
    error = reason()
    assert "installed, but broken" in str(error)
    assert told in str(error)
    assert "--force-reinstall" in str(error)
    assert isinstance(error.__cause__, cause)


def test_an_interrupt_during_the_import_is_an_interrupt(tmp_path, monkeypatch):
    package_that("raise KeyboardInterrupt", tmp_path, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        lucid_cupy.lucid_create_backend("cupy")


@pytest.mark.parametrize(
    ("cupy", "told", "mended"),
    [
        (fake_cupy(status=35), "there is no CUDA driver", "install NVIDIA's driver"),
        (fake_cupy(status=35, driver=11040), "it is for CUDA 11.4 at most", "update NVIDIA's driver"),
        (fake_cupy(status=100, driver=12090), "no GPU is visible", "CUDA_VISIBLE_DEVICES (7)"),
        (fake_cupy(count=0, driver=12090), "no GPU is visible", "nvidia-smi -L"),
        (fake_cupy(status=803, driver=12090), "driver fails: cudaError 803", "restart the machine"),
        (fake_cupy(count=1), "RuntimeError: libnvrtc.so: no such file;", 'install "cupy-cuda12x[ctk]"'),
        (fake_cupy(count=1, runtime=13000), "NVIDIA's CUDA toolkit 13", 'install "cupy-cuda13x[ctk]"'),
    ],
    ids=["no driver", "old driver", "no device", "hidden", "faulty driver", "no compiler", "nor CUDA 13's"],
)
def test_what_keeps_cupy_from_a_gpu_is_said_with_what_mends_it(cupy, told, mended, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    error = reason()
    assert told in str(error)
    assert mended in str(error)
    assert sum(each in str(error) for each in EXPECTED) == 1
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None


def test_asking_for_a_fallback_takes_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    lucid.refresh_backends()
    assert lucid.get_backend("cupy,numpy").info.name == "numpy"


def test_a_process_without_a_gpu_says_so():
    pytest.importorskip("cupy", reason="needs the cupy package")
    driver = run("import cupy; print(cupy.cuda.runtime.driverGetVersion())").stdout.strip()
    code = "import lucid; lucid.tensor([1.0])"
    shown = run(code, LUCID_BACKEND="cupy", CUDA_VISIBLE_DEVICES="").stderr
    assert "BackendUnavailableError" in shown
    assert ("there is no CUDA driver" if driver == "0" else "no GPU is visible") in shown
    assert "CUDARuntimeError" not in shown


def module(name):
    """A module of the backend that needs CuPy to be imported, and no device."""
    pytest.importorskip("cupy", reason="needs the cupy package")
    return import_module(f"lucid_cupy.{name}")


class Device:
    """A device that can be made the current one, and no more."""

    id = 3

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass


def test_the_error_of_a_device_that_is_full_busy_or_lost_names_it_and_its_cause(monkeypatch):
    devices = module("devices")
    monkeypatch.setattr(devices, "name_of", "CUDA device {} (a model)".format)
    cuda = devices.cupy.cuda
    runtime_error = cuda.runtime.CUDARuntimeError
    for cause, kind, told in (
        (
            cuda.memory.OutOfMemoryError(4096, 1024, 0),
            MemoryError,
            "is out of memory: Out of memory allocating",
        ),
        (runtime_error(2), MemoryError, "is out of memory: cudaErrorMemoryAllocation"),
        (runtime_error(46), RuntimeError, "is busy or unavailable: cudaErrorDevicesUnavailable"),
        (runtime_error(700), RuntimeError, "failed: cudaErrorIllegalAddress"),
    ):
        with pytest.raises(kind, match=r"^CUDA device 3 \(a model\) ") as caught, devices.using(Device()):
            raise cause
        assert told in str(caught.value)
        assert "your arrays" in str(caught.value)
        assert "nvidia-smi" in str(caught.value)
        assert caught.value.__cause__ is cause


def test_a_device_that_does_not_answer_is_named_by_its_number(monkeypatch):
    devices = module("devices")

    def fail(device):
        raise devices.cupy.cuda.runtime.CUDARuntimeError(999)

    monkeypatch.setattr(devices.cupy.cuda.runtime, "getDeviceProperties", fail)
    assert devices.name_of(3) == "CUDA device 3"


def test_errors_that_are_not_a_devices_stay_as_they_are():
    devices = module("devices")
    with pytest.raises(ValueError, match="mine"), devices.using(Device()):
        raise ValueError("mine")


def test_operands_on_two_devices_are_an_error_that_names_both():
    shared_device = module("devices").shared_device
    one, other = (SimpleNamespace(device=f"device {number}") for number in "12")
    with (
        pytest.raises(ValueError, match="device 1 and another operand on device 2"),
        shared_device(one, other),
    ):
        pass


def test_the_namespace_is_the_standard_one_where_there_is_no_bfloat16(monkeypatch):
    namespace = module("namespace")
    with monkeypatch.context() as patch:
        patch.setattr(namespace.cupy, "exp", SimpleNamespace(types=["e->e", "f->f"]))  # CuPy 13
        assert namespace.namespace() is namespace.standard
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    assert namespace.namespace() is namespace.standard


def test_bfloat16_is_a_floating_dtype_of_the_namespace():
    xp = module("namespace").namespace()
    own = pytest.importorskip("ml_dtypes", reason="needs the ml_dtypes package").bfloat16
    assert xp.bfloat16 is own
    single = np.dtype("float32")
    for dtype in (own, np.dtype(own)):
        for kind in ("real floating", "numeric", ("bool", "real floating"), own, (single, np.dtype(own))):
            assert xp.isdtype(dtype, kind)
        for kind in ("integral", "bool", "complex floating", ("bool", "integral"), single):
            assert not xp.isdtype(dtype, kind)
    assert xp.isdtype(single, "real floating")
    assert not xp.isdtype(single, own)


def test_the_bandwidth_example_says_why_it_can_not_measure():
    pytest.importorskip("cupy", reason="needs the cupy package")
    example = Path(__file__).parent.parent / "docs" / "examples" / "gpu_bandwidth.py"
    shown = subprocess.run(
        [sys.executable, "-W", "error", example],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert shown.returncode == 1
    assert "there is no CUDA driver" in shown.stderr or "no GPU is visible" in shown.stderr
    assert "Traceback" not in shown.stderr


@pytest.mark.parametrize(
    ("shape", "strides", "merged", "contiguous"),
    [
        ((), (), [], True),
        ((5, 1, 7), (28, 28, 4), [(35, 4)], True),
        ((5, 7), (0, 0), [(35, 0)], True),
        ((5, 7), (4, 20), [(5, 4), (7, 20)], False),
        ((5, 7), (0, 4), [(5, 0), (7, 4)], False),
        ((35,), (-4,), [(35, -4)], False),
        ((5, 7), (-28, -4), [(35, -4)], False),
        ((2, 3, 4), (96, 16, 4), [(2, 96), (12, 4)], False),
    ],
)
def test_dimensions_that_lie_in_one_line_are_merged(shape, strides, merged, contiguous):
    layout = module("layouts").layout_of(shape, (strides,), (4,))
    count = layout.packed["dimensions"]
    lines = zip(layout.packed["lengths"], layout.packed["strides"][:, 0], strict=True)
    assert list(lines)[:count] == merged
    assert layout.contiguous is contiguous


def test_dimensions_are_merged_only_where_every_operand_allows_it():
    layout_of = module("layouts").layout_of
    assert layout_of((5, 7), ((28, 4), (56, 8)), (4, 8)).packed["dimensions"] == 1
    assert layout_of((5, 7), ((28, 4), (0, 8)), (4, 8)).packed["dimensions"] == 2
    assert layout_of((5, 7), ((28, 4), None), (4, 0)).contiguous


def test_a_layout_counts_more_elements_than_32_bits_do():
    size = 2**31 + 1
    packed = module("layouts").layout_of((size, 3), ((12, 4), (0, 1)), (4, 1)).packed
    assert (packed["size"], packed["lengths"][0]) == (3 * size, size)
    assert packed["strides"][:2, 0].tolist() == [12, 4]
