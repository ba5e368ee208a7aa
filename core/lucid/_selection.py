"""Which backend: argument > context > process > environment > numpy; and, for arrays, the data's own.

The variable ``LUCID_BACKEND`` is read when it is needed, so that setting it late works too.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lucid._registry import registry, type_names
from lucid.errors import BackendUnavailableError, LucidError, MixedBackendError

if TYPE_CHECKING:
    from logging import Logger

    from lucid.protocol import Backend

__all__ = ["Selection", "get_backend", "refresh_backends", "set_backend", "use_backend"]

DEBUG = 10  # logging's own number: logging itself is imported with the first backend

VARIABLE: Final = "LUCID_BACKEND"
STORED: Final = getattr(os.environ, "encodekey", str)(VARIABLE)
"""The variable, and what `os.environ` itself calls it."""

NUMBERS: Final = frozenset({bool, int, float})
"""Python's own: nobody's arrays."""

_context: ContextVar[str | None] = ContextVar("lucid_backend", default=None)


class _Process:
    """What holds for the whole process. Attributes are replaced whole: safe without a lock."""

    backend: str | None = None
    log: "Logger | None" = None  # of lucid.dispatch, as soon as a backend was looked for


_process = _Process()
_settled: dict[tuple[str, ...], str] = {}  # of several names, the first that could run
_owners: dict[tuple[type, object], str] = {}  # of a class, and the choice that holds: the key of a...
_running: "dict[str, Backend[Any]]" = {}  # ...backend that has been found for some class


class Selection(NamedTuple):
    """A backend's name, or several to try in order; the rule that chose it, and the class that it lists."""

    spec: str
    rule: str
    lists: str = ""

    def __str__(self) -> str:
        because = [f"selected by {self.rule}"] if self.rule else []
        because += [f"lists {self.lists}"] if self.lists else []
        return f"{self.spec} ({', '.join(because)})"


def explicit() -> Selection | None:
    """The choice that somebody made, with its rule."""
    if spec := _context.get():
        return Selection(spec, "lucid.use_backend")
    if spec := _process.backend:
        return Selection(spec, "lucid.set_backend")
    if spec := os.environ.get(VARIABLE, "").strip():
        return Selection(spec, VARIABLE)
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
    spec = name
    if spec is None:
        spec = _context.get() or _process.backend or os.environ.get(VARIABLE) or "numpy"
        if _process.log is not None and _process.log.isEnabledFor(DEBUG):
            _process.log.debug("what has no backend of its own -> %s", selected())
    if (backend := registry.ours.get(spec)) is not None:
        return backend
    return running(selected() if name is None else Selection(name, ""))


def running(choice: Selection) -> "Backend[Any]":
    """Return the chosen backend, started now if this is the first time."""
    if _process.log is None:
        from logging import getLogger

        _process.log = getLogger("lucid.dispatch")
    try:
        return registry.get(settled(names_of(choice.spec)))
    except LucidError as error:
        if choice.rule:
            error.add_note(f"It was selected by {choice.rule}.")
        raise


def names_of(spec: str) -> tuple[str, ...]:
    """Split ``"cupy,numpy"``; what has no name in it stays whole, and is an unknown name."""
    return tuple(name.strip() for name in spec.split(",") if name.strip()) or (spec,)


def settled(names: tuple[str, ...]) -> str:
    """Choose among several, once until `refresh_backends`: a process is better off on one library."""
    if len(names) == 1:
        return names[0]
    if (chosen := _settled.get(names)) is not None:
        return chosen
    with registry.turns.of(names):
        return _settled.get(names) or settle(names)


def settle(names: tuple[str, ...]) -> str:
    """Take the first that can run: asking for several is asking for a fallback."""
    reasons: list[str] = []
    for name in names:
        try:
            registry.get(name)
        except BackendUnavailableError as error:
            reasons.append(str(error))
            continue
        if reasons:
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


def refresh_backends() -> None:
    """Look up anew what is installed, and forget what failed. Backends that are running go on running.

    Call it after installing a plugin into a running process.
    """
    registry.forget()
    _settled.clear()
    _owners.clear()


def backend_of(value: object) -> "Backend[Any] | None":
    """Return the backend whose arrays these are; None for numbers, lists and everything else.

    A backend that was explicitly selected is preferred for the arrays that it lists.
    """
    if type(value) in NUMBERS or not hasattr(value, "shape"):
        return None
    owner = owner_of(type(value))
    return None if owner is None else _running[owner]


def environment_choice() -> object:
    """Read the variable as `os.environ` stores it, to tell whether it is the same as before.

    For one that is not set, `os.environ` itself raises and catches two exceptions, which takes longer than
    all the rest of finding a backend.
    """
    try:
        return os.environ._data.get(STORED)  # type: ignore[attr-defined]  # CPython's and PyPy's have it
    except AttributeError:  # something else was put in its place
        return os.environ.get(VARIABLE)


def owner_of(cls: type) -> str | None:
    """Find the backend whose arrays a class is of: its key in `_running`."""
    choice = _context.get() or _process.backend or environment_choice()
    if (owner := _owners.get((cls, choice))) is None:
        found = choice_for(type_names(cls))
        if found is None:
            return None
        backend = running(found)
        owner = str(id(backend))
        _running[owner] = backend
        _owners[cls, choice] = owner
    if _process.log is not None and _process.log.isEnabledFor(DEBUG):
        names = type_names(cls)
        _process.log.debug("%s -> %s", names[0], choice_for(names))
    return owner


# torch.compile can't trace what this reads. So marked, it asks once and keeps the answer, which a string lets
# it do. This is what torch.compiler.assume_constant_result does; but here nothing may import PyTorch.
owner_of._dynamo_marked_constant = True  # type: ignore[attr-defined]  # functions take any attribute


def choice_for(names: tuple[str, ...]) -> Selection | None:
    """Find the backend for a class, named with its bases: the selected one if it lists it, else its own."""
    if (choice := explicit()) is not None:
        listing = {spec: name for spec in names_of(choice.spec) if (name := listed(choice, spec, names))}
        if listing:
            spec = settled(tuple(listing))
            return Selection(spec, choice.rule, listing[spec])
    owner = registry.owner(names)
    return None if owner is None else Selection(registry.name(owner[0]), "", owner[1])


def listed(choice: Selection, spec: str, names: tuple[str, ...]) -> str:
    """Return the name that a selected backend lists. One of several that can't be loaded lists nothing."""
    try:
        return registry.listed(registry.find(spec), names)
    except BackendUnavailableError as error:
        if "," in choice.spec:
            return ""
        error.add_note(f"It was selected by {choice.rule}.")
        raise


def require_same(name: str, backend: "Backend[Any]", other_name: str, other: "Backend[Any]") -> None:
    """Raise if two operands live on two backends."""
    if other is not backend:
        raise MixedBackendError(
            f"{name} lives on backend {backend.info.name!r} and {other_name} on {other.info.name!r}; "
            f"nothing is converted silently: make both arrays of one library, for example with "
            f"lucid.tensor(..., backend={backend.info.name!r})"
        )
