"""A plugin that puts a tuple into `array_types`."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name, 1, (("library:Array",),), "something")
