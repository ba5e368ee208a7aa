"""skeleton as a backend of lucid: the door, which is cheap to import."""

from typing import TYPE_CHECKING, Any

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo, Xfail

if TYPE_CHECKING:
    from lucid.protocol import Backend

INFO = BackendInfo(
    name="skeleton",
    api_version=1,
    # HERE: your array class, as f"{type(x).__module__}:{type(x).__qualname__}" says it
    array_types=("numpy:ndarray",),
    # HERE: what to install where your library is missing
    requires="numpy",
)


@hookimpl
def lucid_backend_info(name: str) -> BackendInfo | None:
    """Say what this is, without importing the array library."""
    return INFO if name == INFO.name else None


@hookimpl
def lucid_create_backend(name: str) -> "Backend[Any] | None":
    """Import the array library, see that it can run, and start the backend."""
    from lucid_skeleton.backend import SkeletonBackend

    return SkeletonBackend() if name == INFO.name else None


@hookimpl
def lucid_conformance_xfails(name: str) -> list[Xfail]:
    """List the cases of the conformance kit that are known to fail, each with its reason."""
    return []
