"""JAX as a backend of lucid: the door, which is cheap to import."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from lucid.hookspecs import hookimpl
from lucid.protocol import BackendInfo, Xfail

if TYPE_CHECKING:
    from lucid.protocol import Backend

INFO = BackendInfo(
    name="jax",
    api_version=1,
    array_types=("jaxlib._jax:ArrayImpl", "jax._src.core:Tracer"),  # arrays, and what stands for them in jit
    requires="jax",
)


@hookimpl
def lucid_backend_info(name: str) -> BackendInfo | None:
    """Say what this is."""
    return INFO if name == INFO.name else None


@hookimpl
def lucid_create_backend(name: str) -> "Backend[Any] | None":
    """Start it."""
    from lucid_jax.backend import JaxBackend

    return JaxBackend() if name == INFO.name else None


@hookimpl
def lucid_conformance_xfails(name: str) -> list[Xfail]:
    """List the cases of the conformance kit that are known to fail: in xfails.txt, under their reason."""
    lines = Path(__file__).with_name("xfails.txt").read_text(encoding="utf-8").splitlines()
    reason, expected = "", []
    for line in filter(None, lines):
        if line.startswith("#"):
            reason = line.removeprefix("#").strip()
        else:
            expected.append(Xfail(line, reason))
    return expected
