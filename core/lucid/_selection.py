"""Which backend: argument > context > process > environment > numpy; and, for arrays, the data's own.

The variable ``LUCID_BACKEND`` is read when it is needed, so that setting it late works too.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from lucid._registry import registry
from lucid.errors import BackendUnavailableError, LucidError, MixedBackendError

if TYPE_CHECKING:
    from lucid.protocol import Backend

__all__ = ["BackendEntry", "backends", "get_backend", "refresh_backends", "set_backend", "use_backend"]

_context: ContextVar[str | None] = ContextVar("lucid_backend", default=None)


class _Process:
    """The process-wide choice. One attribute, replaced whole: safe without a lock."""

    backend: str | None = None


_process = _Process()
_settled: dict[tuple[str, ...], str] = {}  # of several names, the first that could run
_owners: "dict[tuple[Any, ...], Backend[Any]]" = {}  # of a class, and what else `backend_of` depends on


class Selection(NamedTuple):
    """A backend's name, or several to try in order, and the rule that chose it."""

    spec: str
    rule: str


class BackendEntry(NamedTuple):
    """One line of `backends`.

    Parameters
    ----------
    name : str
        What `set_backend` and ``LUCID_BACKEND`` take; ``"distribution:name"`` if it is not unique.
    distribution : str
        Who offers it.
    version : str
        The distribution's.
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
    choice = selected() if name is None else Selection(name, "")
    return _first_available(choice, _names(choice.spec))


def _names(spec: str) -> tuple[str, ...]:
    """Split ``"cupy,numpy"``; what has no name in it stays whole, and is an unknown name."""
    return tuple(name.strip() for name in spec.split(",") if name.strip()) or (spec,)


def _first_available(choice: Selection, names: tuple[str, ...]) -> "Backend[Any]":
    """Start the one, or the first that can run: asking for several is asking for a fallback."""
    try:
        return registry.get(names[0] if len(names) == 1 else _settled.get(names) or _settle(names))
    except LucidError as error:
        if choice.rule:
            error.add_note(f"It was selected by {choice.rule}.")
        raise


def _settle(names: tuple[str, ...]) -> str:
    """Choose among several, once until `refresh_backends`: a process is better off on one library."""
    reasons: list[str] = []
    with registry.lock:
        for name in names:
            try:
                registry.get(name)
            except BackendUnavailableError as error:
                reasons.append(str(error))
                continue
            if reasons and names not in _settled:
                from logging import getLogger

                getLogger("lucid").warning("using backend %r: %s", name, "; ".join(reasons))
            return _settled.setdefault(names, name)
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

    Yields
    ------
    Backend
        It.

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
    entries = []
    for offer in registry.offers():
        if probe and not offer.disabled:
            with suppress(LucidError):  # the registry remembers the reason, which `state` tells
                registry.get(offer.spec)
        entries.append(BackendEntry(offer.name, offer.distribution, offer.version, *registry.state(offer)))
    return entries


def refresh_backends() -> None:
    """Look up anew what is installed, and forget what failed. Backends that are running go on running.

    Call it after installing a plugin into a running process.
    """
    from importlib import invalidate_caches

    invalidate_caches()  # importlib may not have seen the new files yet
    with registry.lock:
        registry.forget()
        _settled.clear()
        _owners.clear()


def backend_of(value: object) -> "Backend[Any] | None":
    """Return the backend whose arrays these are; None for numbers, lists and everything else.

    A backend that was explicitly selected is preferred for the arrays that it lists.
    """
    if not hasattr(value, "shape"):
        return None
    environment = os.environ.get("LUCID_BACKEND"), os.environ.get("LUCID_DISABLE_PLUGINS")
    key = (type(value), _context.get(), _process.backend, environment)  # all that the answer depends on
    if key not in _owners:
        backend = _search(type(value))
        if backend is None:
            return None
        _owners[key] = backend
    return _owners[key]


def _search(cls: type) -> "Backend[Any] | None":
    """Find the backend for a class: the selected one, if it lists the class, or else the class's own."""
    choice = explicit()
    if choice is not None and (names := _listing(choice, cls)):
        return _first_available(choice, names)
    offer = registry.owner(cls)
    return None if offer is None else registry.get(offer.spec)


def _listing(choice: Selection, cls: type) -> tuple[str, ...]:
    """Keep the chosen names whose backends list a class."""
    names = _names(choice.spec)
    if len(names) == 1:
        return names if registry.lists(names[0], cls) else ()
    found = []
    for name in names:
        with suppress(BackendUnavailableError):
            if registry.lists(name, cls):
                found.append(name)
    return tuple(found)


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
