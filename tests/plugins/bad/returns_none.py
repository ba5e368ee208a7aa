"""A plugin that returns None instead of a loss."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name, 1, ("numpy:ndarray",), "something")


@hookimpl
def lucid_create_backend(name):
    from lucid_numpy.kernels import NumpyBackend

    backend = NumpyBackend()
    backend.info = lucid_backend_info(name)
    backend.bce = Kernel(NumpyBackend.bce)
    return backend


class Kernel:
    def __init__(self, kernel):
        self.kernel = kernel

    def forward(self, *operands, needs_grad):
        pass

    def backward(self, *arguments):
        pass
