"""Which backend: argument > context > process > environment > numpy; and, for arrays, the data's own.

The variable ``LUCID_BACKEND`` is read when it is needed, so that setting it late works too.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from lucid.errors import BackendUnavailableError, LucidError, MixedBackendError

if TYPE_CHECKING:
    from lucid.protocol import Backend

__all__ = ["BackendEntry", "backends", "get_backend", "refresh_backends", "set_backend", "use_backend"]

_context: ContextVar[str | None] = ContextVar("lucid_backend", default=None)


@dataclass(slots=True)
class _Process:
    """The process-wide choice. One attribute, replaced whole: safe without a lock."""

    backend: str | None = None


_process = _Process()
_fallbacks_logged: set[str] = set()


class Selection(NamedTuple):
    """A backend's name, or several to try in order, and the rule that chose it."""

    spec: str
    rule: str


class BackendEntry(NamedTuple):
    """One line of `backends`.

    Attributes
    ----------
    name : str
        What `set_backend` and ``LUCID_BACKEND`` take.
    distribution, version : str
        Who offers it.
    state : {"not loaded", "ready", "failed", "disabled"}
        How far it has come in this process.
    reason : str
        Why it failed or is disabled; empty otherwise.
    """

    name: str
    distribution: str
    version: str
    state: str
    reason: str


def explicit() -> Selection | None:
    """The choice that somebody made, with its rule."""
    if spec := _context.get():
        return Selection(spec, "lucid.use_backend")
    if spec := _process.backend:
        return Selection(spec, "lucid.set_backend")
    if spec := os.environ.get("LUCID_BACKEND", "").strip():
        return Selection(spec, "LUCID_BACKEND")
    return None


def selected() -> Selection:
    """The choice that holds now, with its rule."""
    return explicit() or Selection("numpy", "default")


def get_backend(name: str | None = None) -> "Backend[Any]":
    """Return a backend: the named one, or the one that is selected now.

    The selected one is the first of: the innermost `use_backend`, `set_backend`, the environment variable
    ``LUCID_BACKEND``, and ``"numpy"``.

    Parameters
    ----------
    name : str, optional
        The name of an installed backend. ``"distribution:name"`` says whose; ``"cupy,numpy"`` takes the
        first that can run, and logs one line when that is not the first.

    Raises
    ------
    UnknownBackendError
        No installed backend has that name.
    AmbiguousBackendError
        Several distributions offer it.
    BackendUnavailableError
        It is installed and can't run here; the message says why and what would mend it.
    BackendProtocolError
        Its plugin does not keep the contract.

    Examples
    --------
    >>> import lucid
    >>> lucid.get_backend("numpy").info.name
    'numpy'
    """
    from lucid._registry import registry

    spec = selected().spec if name is None else name
    if "," not in spec:
        return registry.get(spec.strip())
    return _first_available([choice.strip() for choice in spec.split(",") if choice.strip()])


def _first_available(choices: list[str]) -> "Backend[Any]":
    """Try one backend after the other: asking for several is asking for a fallback."""
    from lucid._registry import registry

    reasons: list[str] = []
    for choice in choices:
        try:
            backend = registry.get(choice)
        except BackendUnavailableError as error:
            reasons.append(str(error))
            continue
        message = f"using backend {choice!r}: " + "; ".join(reasons)
        if reasons and message not in _fallbacks_logged:
            from logging import getLogger

            _fallbacks_logged.add(message)
            getLogger("lucid").warning(message)
        return backend
    raise BackendUnavailableError("none of the backends can run: " + "; ".join(reasons))


def set_backend(name: str | None) -> None:
    """Select a backend for the whole process; None takes the choice back.

    Parameters
    ----------
    name : str or None
        As in `get_backend`. The backend is created at once, so that one that can't run says so here.

    Examples
    --------
    >>> import lucid
    >>> lucid.set_backend("numpy")
    >>> lucid.zeros(2).backend.info.name
    'numpy'
    >>> lucid.set_backend(None)
    """
    if name is not None:
        get_backend(name)
    _process.backend = name


@contextmanager
def use_backend(name: str) -> "Iterator[Backend[Any]]":
    """Select a backend inside a ``with`` block, for this thread or asyncio task only.

    Parameters
    ----------
    name : str
        As in `get_backend`.

    Examples
    --------
    >>> import lucid
    >>> with lucid.use_backend("numpy") as backend:
    ...     lucid.zeros(2).backend is backend
    True
    """
    backend = get_backend(name)
    token = _context.set(name)
    try:
        yield backend
    finally:
        _context.reset(token)


def backends(*, probe: bool = False) -> list[BackendEntry]:
    """List the installed backends, without importing an array library or a plugin.

    Parameters
    ----------
    probe : bool
        Start each backend, to learn whether it can run. This does import array libraries.

    Returns
    -------
    list of BackendEntry
        Our own first.

    Examples
    --------
    >>> import lucid
    >>> [entry.name for entry in lucid.backends() if entry.distribution == "lucid-bce"]
    ['cupy', 'numpy', 'torch']
    """
    from lucid._registry import registry

    entries = []
    for offer in registry.offers():
        if probe and not offer.disabled:
            with suppress(LucidError):  # the registry remembers the reason, which is what was asked for
                registry.get(offer.spec)
        entries.append(BackendEntry(offer.name, offer.distribution, offer.version, *registry.state(offer)))
    return entries


def refresh_backends() -> None:
    """Forget every backend: installed packages are looked up again, and backends are created anew."""
    from lucid._registry import registry

    registry.forget()
    _fallbacks_logged.clear()


def backend_of(value: object) -> "Backend[Any] | None":
    """Return the backend whose arrays these are; None for numbers, lists and everything else.

    A backend that was explicitly selected is preferred for the arrays that it lists.
    """
    cls = type(value)
    if not hasattr(cls, "shape"):
        return None
    from lucid._registry import registry

    choice = explicit()
    for name in choice.spec.split(",") if choice else ():
        offer = registry.find(name.strip())
        if registry.lists(offer, cls):
            return registry.get(offer.spec)
    offer_by_type = registry.owner(cls)
    return None if offer_by_type is None else registry.get(offer_by_type.spec)


def common_backend(found: "dict[str, Backend[Any]]") -> "Backend[Any] | None":
    """Return the one backend that the named operands share; None if none of them has any."""
    first: tuple[str, Backend[Any]] | None = None
    for operand, backend in found.items():
        if first is None:
            first = operand, backend
        elif backend is not first[1]:
            raise MixedBackendError(
                f"{first[0]} lives on backend {first[1].info.name!r} and {operand} on {backend.info.name!r}; "
                f"nothing is converted silently: make both arrays of one library, for example with "
                f"lucid.tensor(..., backend={first[1].info.name!r})"
            )
    return None if first is None else first[1]
