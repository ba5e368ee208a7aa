"""A plugin that calls `sys.exit` when it computes."""

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
        raise SystemExit("out of memory")

    def backward(self, *arguments):
        pass
