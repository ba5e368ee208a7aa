"""What is installed, and which backend would take what: answers for people, not for programs' hot paths."""

from contextlib import suppress
from typing import NamedTuple

from lucid._registry import registry, type_names
from lucid._selection import choice_for, selected
from lucid._tensor import Tensor
from lucid.errors import LucidError

__all__ = ["BackendEntry", "Explanation", "backends", "explain", "explain_class"]


class BackendEntry(NamedTuple):
    """One line of `backends`.

    Parameters
    ----------
    name : str
        What `set_backend` and ``LUCID_BACKEND`` take; ``"distribution:name"`` if the name alone is reserved
        for lucid's own backends, or offered more than once.
    distribution : str
        Who offers it.
    version : str
        The distribution's.
    state : {"not loaded", "starting", "ready", "failed", "disabled"}
        How far it has come in this process.
    reason : str
        Why it is not usable; empty otherwise.
    """

    name: str
    distribution: str
    version: str
    state: str
    reason: str


class Explanation(NamedTuple):
    """The answer of `explain`, also as a sentence: ``str(lucid.explain(x))``.

    Parameters
    ----------
    backend : str or None
        The backend's name, as `get_backend` takes it; None if no backend takes it.
    rule : str
        Why.
    """

    backend: str | None
    rule: str

    def __str__(self) -> str:
        return f"{self.backend or 'no backend'}: {self.rule}"


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
        if probe and registry.state(offer)[0] != "disabled":
            with suppress(LucidError):  # the registry remembers the reason, which `state` tells
                registry.start(offer)
        state, reason = registry.state(offer)
        entries.append(BackendEntry(registry.name(offer), offer.distribution, offer.version, state, reason))
    return entries


def explain(value: object) -> Explanation:
    """Say which backend would take a value in an operation such as a loss, and by which rule.

    Nothing is computed, and no backend is started: plugins are asked for their descriptions, as dispatch
    itself would, and no further. Of several selected names, as in ``LUCID_BACKEND=cupy,numpy``, the first
    that can run has to be started.

    Parameters
    ----------
    value : object
        A tensor, an array, a list, a number.

    Returns
    -------
    Explanation
        A backend's name, and the rule.

    Raises
    ------
    lucid.errors.LucidError
        The selected backend is unknown or can't be loaded, as an operation would say.

    Examples
    --------
    >>> import lucid, numpy
    >>> print(lucid.explain(numpy.ones(3)))
    numpy: it lists numpy:ndarray
    >>> print(lucid.explain([0.9, 0.1]))
    numpy: numbers and lists go to the selected backend, by default this one
    """
    if isinstance(value, Tensor):
        return Explanation(value.backend.info.name, "a tensor stays with its backend")
    cls = type(value)
    if hasattr(value, "shape"):
        found = explain_class(type_names(cls))
        if found.backend is not None or hasattr(cls, "__dlpack__"):
            return found
    choice = selected()
    by = "by default this one" if choice.rule == "default" else f"which is this one by {choice.rule}"
    return Explanation(choice.spec, f"numbers and lists go to the selected backend, {by}")


def explain_class(names: tuple[str, ...]) -> Explanation:
    """Answer for the arrays of a class, named as ``"module:qualname"``, and its bases."""
    choice = choice_for(names)
    if choice is None:
        failed = [reason for state, reason in map(registry.state, registry.offers()) if state == "failed"]
        return Explanation(None, "; ".join([f"no installed backend lists {names[0]}", *failed]))
    rule = f"it lists {choice.lists}"
    if choice.lists != names[0]:
        rule += f", a base of {names[0]}"
    return Explanation(choice.spec, f"{choice.rule} selects it, and {rule}" if choice.rule else rule)
