"""The NumPy backend's door: what lucid reads to know it. NumPy is imported by `lucid_create_backend`."""

from typing import TYPE_CHECKING, Any

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo

if TYPE_CHECKING:
    from lucid.protocol import Backend

INFO = BackendInfo(
    name="numpy",
    api_version=1,
    array_types=("numpy:ndarray", "numpy:generic"),
    requires="numpy",
)


@hookimpl
def lucid_backend_info(name: str) -> BackendInfo | None:
    """Say what this is."""
    return INFO if name == INFO.name else None


@hookimpl
def lucid_create_backend(name: str) -> "Backend[Any] | None":
    """Start it."""
    from lucid_numpy.kernels import NumpyBackend

    return NumpyBackend() if name == INFO.name else None
