"""A plugin that has no `lucid_create_backend`."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name, 1, (), "something")
