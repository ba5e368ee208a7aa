"""The CuPy backend's door: what lucid reads to know it. CuPy is imported by `lucid_create_backend`."""

from typing import TYPE_CHECKING, Any

from lucid.errors import BackendUnavailableError
from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo

if TYPE_CHECKING:
    from lucid.protocol import Backend

INFO = BackendInfo(
    name="cupy",
    api_version=1,
    array_types=("cupy:ndarray",),
    requires='"lucid-bce[cupy-cuda12x]"',
)

INSUFFICIENT_DRIVER, NO_DEVICE = 35, 100  # cudaErrorInsufficientDriver, cudaErrorNoDevice

NOT_INSTALLED = (
    'CuPy is not installed; python -m pip install "lucid-bce[cupy-cuda12x]", or "lucid-bce[cupy-cuda13x]" '
    "where the driver is for CUDA 13 (nvidia-smi shows its version)"
)
BROKEN = (
    "CuPy is installed, but broken: {error}; python -m pip install --force-reinstall cupy-cuda12x (or "
    "cupy-cuda13x), with only one of CuPy's packages installed, and see that `import cupy` works"
)
NO_DRIVER = (
    "CuPy is installed, but there is no CUDA driver; install NVIDIA's driver for the GPU, so that nvidia-smi "
    "runs, and start a container with access to it (docker run --gpus all)"
)
OLD_DRIVER = (
    "CuPy is installed, but the driver is too old: it is for CUDA {driver} at most, and this CuPy is for "
    "CUDA {runtime}; update NVIDIA's driver, or install the CuPy for an older CUDA"
)
NO_GPU = (
    "CuPy and a CUDA driver are installed, but no GPU is visible; see that nvidia-smi -L lists one, that "
    "CUDA_VISIBLE_DEVICES ({visible}) does not hide it, and that the container or job was given it"
)
FAULTY = (
    "CuPy is installed, but the CUDA driver fails: {error}; see what nvidia-smi says, and restart the "
    "machine if the driver was just updated"
)
NO_COMPILER = (
    "CuPy and a GPU are there, but CUDA's compiler, NVRTC, is not: {error}; python -m pip install "
    '"cupy-cuda{major}x[ctk]", or install NVIDIA\'s CUDA toolkit {major}'
)


@hookimpl
def lucid_backend_info(name: str) -> BackendInfo | None:
    """Say what this is."""
    return INFO if name == INFO.name else None


@hookimpl
def lucid_create_backend(name: str) -> "Backend[Any] | None":
    """Start it."""
    if name != INFO.name:
        return None
    try:
        import cupy

        obstacle = what_is_missing(cupy)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a missing CUDA library is an OSError here and an ImportError there
        if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
            raise BackendUnavailableError(NOT_INSTALLED) from None
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise BackendUnavailableError(BROKEN.format(error=reason)) from error
    if obstacle:
        raise BackendUnavailableError(obstacle)
    from lucid_cupy.kernels import CupyBackend

    return CupyBackend()


def what_is_missing(cupy: Any) -> str | None:
    """Ask for a device and the compiler, which `import cupy` does not; say what keeps CuPy from them."""
    runtime = cupy.cuda.runtime
    try:
        if runtime.getDeviceCount() > 0:
            return what_the_compiler_lacks(cupy)
        status = NO_DEVICE
    except runtime.CUDARuntimeError as error:
        status, reason = error.status, str(error)
    if status == NO_DEVICE:
        from os import environ

        return NO_GPU.format(visible=environ.get("CUDA_VISIBLE_DEVICES", "not set"))
    if status != INSUFFICIENT_DRIVER:
        return FAULTY.format(error=reason)
    driver = runtime.driverGetVersion()
    if driver == 0:
        return NO_DRIVER
    return OLD_DRIVER.format(driver=version(driver), runtime=version(runtime.runtimeGetVersion()))


def what_the_compiler_lacks(cupy: Any) -> str | None:
    """Load the compiler; whether it finds CUDA's headers is known when it compiles."""
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # an OSError or a RuntimeError, by CuPy's version
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        return NO_COMPILER.format(error=reason, major=cupy.cuda.runtime.runtimeGetVersion() // 1000)
    return None


def version(number: int) -> str:
    """Spell CUDA's 12090 as 12.9."""
    return f"{number // 1000}.{number % 1000 // 10}"
