"""A plugin that lacks its array library."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name, 1, (), "something")


@hookimpl
def lucid_create_backend(name):
    import a_library_that_nobody_has  # noqa: F401
