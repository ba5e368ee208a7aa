"""A plugin that misspells a hook's parameter."""

from lucid.hookspecs import hookimpl


@hookimpl
def lucid_backend_info(nmae):
    return None
