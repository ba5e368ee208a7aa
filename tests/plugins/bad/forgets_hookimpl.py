"""A plugin that forgets `@hookimpl`."""

from lucid.protocol import BackendInfo


def lucid_backend_info(name):
    return BackendInfo(name, 1, (), "something")
