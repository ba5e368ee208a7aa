"""A plugin that takes its time at import: until a test opens the gate."""

import gate

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo

gate.reached.set()
assert gate.open.wait(60)


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name=name, api_version=1, array_types=("numpy:ndarray",), requires="numpy")


@hookimpl
def lucid_create_backend(name):
    from lucid_numpy.kernels import NumpyBackend

    backend = NumpyBackend()
    backend.info = lucid_backend_info(name)
    return backend
