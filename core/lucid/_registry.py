"""The installed backends: found by their metadata, loaded one by one when they are asked for.

Nothing is imported to list what is installed, and asking for one backend runs no other plugin's code.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, final

from lucid._plugin import OURS, Loaded, Offer, blaming, create, flag, load, normalized
from lucid.errors import (
    AmbiguousBackendError,
    BackendProtocolError,
    BackendUnavailableError,
    LucidError,
    UnknownBackendError,
)
from lucid.protocol import Backend, BackendInfo, Xfail

__all__ = ["OURS", "Offer", "Registry", "flag", "registry"]

GROUP: Final = "lucid.backends"
RESERVED: Final = frozenset({"numpy", "cupy", "torch", "dask"})


@final
class Registry:
    """The installed backends, each loaded when it is first asked for.

    The three caches hold successes only: what failed is tried again when it is asked for again. Their keys
    end in the flag that keeps plugins out, which may change at any time.
    """

    def __init__(self) -> None:
        self.lock: Final = threading.RLock()  # a plugin may ask for another backend while it starts
        self._loaded: dict[Offer, Loaded] = {}
        self.forget()

    def forget(self) -> None:
        """Scan the metadata anew at the next need, and load anew what is not running.

        What is running stays: tensors hold its arrays, and a second instance could not compute with them.
        """
        with self.lock:
            self._offers: tuple[Offer, ...] | None = None
            self._loaded = {offer: one for offer, one in self._loaded.items() if one.backend is not None}
            self._failures: dict[Offer, str] = {}
            self._ready: dict[tuple[str, bool], Backend[Any]] = {}
            self._listed: dict[tuple[str, type, bool], bool] = {}
            self._owners: dict[tuple[type, bool], Offer | None] = {}

    def offers(self) -> tuple[Offer, ...]:
        """Everything that is installed, our own backends first."""
        with self.lock:
            if self._offers is None:
                from importlib.metadata import entry_points

                found = map(Offer.of, entry_points(group=GROUP))
                self._offers = tuple(sorted(found, key=lambda o: (o.distribution != OURS, o.name, o.spec)))
            return self._offers

    def find(self, spec: str) -> Offer:
        """Look up ``"name"`` or ``"distribution:name"``."""
        distribution, _, name = spec.rpartition(":")
        matches = [
            offer
            for offer in self.offers()
            if offer.name == name and (not distribution or offer.distribution == normalized(distribution))
        ]
        eligible = [offer for offer in matches if not offer.disabled]
        if not distribution and name in RESERVED:
            eligible = [offer for offer in eligible if offer.distribution == OURS]
        if not eligible:
            raise UnknownBackendError(self._unknown(spec, matches))
        if len(eligible) > 1:
            both = " and ".join(f"{offer.distribution} {offer.version}" for offer in eligible)
            choices = " or ".join(repr(offer.spec) for offer in eligible)
            raise AmbiguousBackendError(f"backend {name!r} is offered by {both}; say which: {choices}")
        return eligible[0]

    def _unknown(self, spec: str, matches: list[Offer]) -> str:
        if matches and matches[0].disabled:
            return f"{matches[0]} is installed, but LUCID_DISABLE_PLUGINS keeps it out"
        if matches:
            return f"the name {spec!r} is reserved for {OURS}; ask for {matches[0].spec!r}"
        from difflib import get_close_matches

        names = sorted({offer.name for offer in self.offers() if not offer.disabled})
        near = get_close_matches(spec.rpartition(":")[2].lower(), names, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        return f"no backend named {spec!r} is installed. {hint}Installed: {', '.join(names) or 'none'}"

    def get(self, spec: str) -> Backend[Any]:
        """Return the backend, created now if this is the first time."""
        key = (spec, flag("LUCID_DISABLE_PLUGINS"))
        if (backend := self._ready.get(key)) is not None:
            return backend
        with self.lock:
            offer = self.find(spec)
            loaded = self._load(offer)
            if loaded.backend is None:
                with self._remembering_failure(offer):
                    loaded.backend = create(offer, loaded)
            self._ready[key] = loaded.backend
            return loaded.backend

    def info(self, offer: Offer) -> BackendInfo:
        """What the plugin says of itself; this runs the plugin's module, and not its array library."""
        with self.lock:
            return self._load(offer).info

    def xfails(self, spec: str) -> list[Xfail]:
        """The cases of the conformance kit that the plugin says it fails."""
        with self.lock:
            offer = self.find(spec)
            loaded = self._load(offer)
        with blaming(offer, "failed to list its known failures"):
            return [xfail for each in loaded.hook.lucid_conformance_xfails(name=offer.name) for xfail in each]

    def state(self, offer: Offer) -> tuple[str, str]:
        """Say, running nothing, how far an offer has come: its state, and the reason if it failed."""
        if offer.disabled:
            return "disabled", "LUCID_DISABLE_PLUGINS keeps it out"
        if (reason := self._failures.get(offer)) is not None:
            return "failed", reason
        loaded = self._loaded.get(offer)
        return ("ready" if loaded is not None and loaded.backend is not None else "not loaded"), ""

    def lists(self, spec: str, cls: type) -> bool:
        """Whether a backend lists a class or a base of it among its array types."""
        key = (spec, cls, flag("LUCID_DISABLE_PLUGINS"))
        if key not in self._listed:
            array_types = self.info(self.find(spec)).array_types
            names = (f"{base.__module__}:{base.__qualname__}" for base in cls.__mro__)
            self._listed[key] = any(name in array_types for name in names)
        return self._listed[key]

    def owner(self, cls: type) -> Offer | None:
        """Whose arrays these are: the first installed backend that lists the class or a base of it.

        Our own backends are asked first, then plugins that are loaded already, then the others one by one,
        so that no plugin runs for the sake of an array that is known without it. One that can't be loaded
        lists nothing, this time.
        """
        key = (cls, flag("LUCID_DISABLE_PLUGINS"))
        if key in self._owners:
            return self._owners[key]
        with self.lock:
            enabled = (offer for offer in self.offers() if not offer.disabled)
            all_answered = True
            for offer in sorted(enabled, key=lambda o: (o.distribution != OURS, o not in self._loaded)):
                try:
                    if self.lists(offer.spec, cls):
                        return self._owners.setdefault(key, offer)
                except LucidError:
                    all_answered = False
            if all_answered:
                self._owners[key] = None
        return None

    def _load(self, offer: Offer) -> Loaded:
        if offer not in self._loaded:
            with self._remembering_failure(offer):
                self._loaded[offer] = load(offer)
        return self._loaded[offer]

    @contextmanager
    def _remembering_failure(self, offer: Offer) -> Iterator[None]:
        try:
            yield
        except (BackendUnavailableError, BackendProtocolError) as error:
            self._failures[offer] = str(error)
            raise
        self._failures.pop(offer, None)


registry: Final = Registry()
