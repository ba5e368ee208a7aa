"""A plugin that is written for another API version."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name, 999, (), "something")


@hookimpl
def lucid_hook_of_the_future(name):
    return None
