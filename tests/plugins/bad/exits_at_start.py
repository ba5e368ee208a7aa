"""A plugin that calls `sys.exit` when started."""

import sys

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name, 1, ("numpy:ndarray",), "something")


@hookimpl
def lucid_create_backend(name):
    sys.exit(3)
