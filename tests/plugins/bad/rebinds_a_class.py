"""A plugin that replaces one of lucid's functions or classes."""

import lucid.nn
from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name, 1, ("numpy:ndarray",), "something")


lucid.nn.BCELoss = None
