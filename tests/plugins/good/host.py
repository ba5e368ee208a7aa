"""A backend for NumPy's own arrays, under whatever name its entry point gives it."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo


@hookimpl
def lucid_backend_info(name):
    return BackendInfo(name=name, api_version=1, array_types=("numpy:ndarray",), requires="numpy")


@hookimpl
def lucid_create_backend(name):
    from lucid_numpy.kernels import NumpyBackend

    backend = NumpyBackend()
    backend.info = lucid_backend_info(name)
    return backend
