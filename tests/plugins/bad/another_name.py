"""A plugin that calls itself by another name."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo("tensorflow", 1, (), "something")
