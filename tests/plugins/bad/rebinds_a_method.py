"""A plugin that replaces one of lucid's methods."""

from lucid.hookspecs import hookimpl
from lucid.kernels import ArrayKernel
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name, 1, ("numpy:ndarray",), "something")


@hookimpl
def lucid_create_backend(name):
    ArrayKernel.forward = None
