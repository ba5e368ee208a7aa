"""The CuPy backend's door: what lucid reads to know it. CuPy is imported by `lucid_create_backend`."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo

INFO = BackendInfo(
    name="cupy",
    api_version=1,
    array_types=("cupy:ndarray",),
    requires='"lucid-bce[cupy-cuda12x]"',
)


@hookimpl
def lucid_backend_info(name: str) -> BackendInfo | None:
    """Say what this is."""
    return INFO if name == INFO.name else None
