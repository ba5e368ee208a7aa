"""A plugin that raises when asked what it is."""

from lucid.hookspecs import hookimpl


@hookimpl
def lucid_backend_info(name):
    return {}[name]
