"""JAX as a backend of lucid: the door, which is cheap to import."""

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo

INFO = BackendInfo(
    name="jax",
    api_version=1,
    array_types=("jaxlib._jax:ArrayImpl", "jax._src.core:Tracer"),
    requires="jax",
)


@hookimpl
def lucid_backend_info(name):
    return INFO


@hookimpl
def lucid_create_backend(name):
    from lucid_jax.backend import JaxBackend

    return JaxBackend()
