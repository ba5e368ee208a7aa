"""The hooks that a plugin implements, in a module that is cheap to import.

The module is the value of an entry point in the group ``lucid.backends``, whose name is the backend's::

    [project.entry-points."lucid.backends"]
    jax = "lucid_jax"
"""

from collections.abc import Sequence
from typing import Any

import pluggy

from lucid.protocol import Backend, BackendInfo, Xfail

__all__ = ["hookimpl", "lucid_backend_info", "lucid_conformance_xfails", "lucid_create_backend"]

hookspec: pluggy.HookspecMarker = pluggy.HookspecMarker("lucid")
hookimpl: pluggy.HookimplMarker = pluggy.HookimplMarker("lucid")


@hookspec(firstresult=True)
def lucid_backend_info(name: str) -> BackendInfo | None:
    """Say what the backend is. Must not import the array library."""


@hookspec(firstresult=True)
def lucid_create_backend(name: str) -> Backend[Any] | None:
    """Import the array library, see that it can run, and return the backend.

    Raises
    ------
    lucid.errors.BackendUnavailableError
        With the reason, and what would mend it. Anything else that it raises is wrapped in one.
    """


@hookspec
def lucid_conformance_xfails(name: str) -> Sequence[Xfail]:  # type: ignore[empty-body]  # a hook has no body
    """List the cases of the conformance kit that the backend is known to fail. Optional, and strict."""
