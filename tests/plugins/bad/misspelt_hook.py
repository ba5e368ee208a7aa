"""A plugin that misspells a hook."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name, 1, (), "something")


@hookimpl
def lucid_creat_backend(name):
    return None
