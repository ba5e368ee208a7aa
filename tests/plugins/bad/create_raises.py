"""A plugin that raises when started."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name, 1, (), "something")


@hookimpl
def lucid_create_backend(name):
    raise OSError("libgpu.so.1: cannot open shared object file")
