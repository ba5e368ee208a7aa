"""array-api-strict as a backend of lucid: the door, which is cheap to import."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo

INFO = BackendInfo(
    name="strict",
    api_version=1,
    array_types=("array_api_strict._array_object:Array",),
    requires="array-api-strict",
)


@hookimpl
def lucid_backend_info(name):
    """Say what this is."""
    return INFO if name == INFO.name else None


@hookimpl
def lucid_create_backend(name):
    """Start it."""
    from lucid_strict.backend import StrictBackend

    return StrictBackend() if name == INFO.name else None
