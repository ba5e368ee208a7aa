"""A plugin that says why it can't run."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name, 1, (), "something")


@hookimpl
def lucid_create_backend(name):
    from lucid.errors import BackendUnavailableError

    raise BackendUnavailableError("no device was found; plug one in")
