"""The installed backends: found by their metadata, loaded one by one when they are asked for.

Nothing is imported to list what is installed, and asking for one backend runs no other plugin's code. A
plugin that is slow to start keeps nobody waiting but those who ask for it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, final

from lucid._admission import OURS, Admission, normalized
from lucid._plugin import Loaded, Offer, blaming, create, load, scan
from lucid._turns import Turns
from lucid.errors import (
    AmbiguousBackendError,
    BackendProtocolError,
    BackendUnavailableError,
    LucidError,
    UnknownBackendError,
)
from lucid.protocol import Backend, BackendInfo, Xfail

__all__ = ["Offer", "Registry", "registry", "type_names"]

RESERVED: Final = frozenset({"numpy", "cupy", "torch", "dask"})


def type_names(cls: type) -> tuple[str, ...]:
    """Spell a class and its bases as `BackendInfo.array_types` does."""
    return tuple(f"{base.__module__}:{base.__qualname__}" for base in cls.__mro__)


@final
class Registry:
    """The installed backends, each loaded when it is first asked for.

    The caches hold successes only: what failed is tried again when it is asked for again.
    """

    def __init__(self) -> None:
        self.turns: Final = Turns()
        self._scan: Final = threading.RLock()
        self._loaded: dict[Offer, Loaded] = {}
        self._start()

    def forget(self) -> None:
        """Scan the metadata anew at the next need, and load anew what is not running.

        What is running stays: tensors hold its arrays, and a second instance could not compute with them.
        """
        from importlib import invalidate_caches

        with self._scan:
            invalidate_caches()  # it may not have seen the new files yet, and two threads are too many for it
            self._start()

    def _start(self) -> None:
        """Know nothing but what is running."""
        self._offers: tuple[Offer, ...] | None = None
        loaded = self._loaded.copy().items()  # somebody may be adding to it
        self._loaded = {offer: one for offer, one in loaded if one.backend is not None}
        self._failures: dict[Offer, str] = {}
        self.ours: dict[str, Backend[Any]] = {}  # ready, whatever the environment says of plugins
        self._owners: dict[tuple[tuple[str, ...], Admission], tuple[Offer, str] | None] = {}

    # What is installed

    def offers(self) -> tuple[Offer, ...]:
        """Everything that is installed, our own backends first."""
        with self._scan:
            if self._offers is None:
                self._offers = tuple(sorted(scan(), key=lambda o: (o.distribution != OURS, o.name, o.spec)))
            return self._offers

    def find(self, spec: str) -> Offer:
        """Look up ``"name"`` or ``"distribution:name"``."""
        distribution, _, name = spec.rpartition(":")
        admission = Admission.read()
        matches = [
            offer
            for offer in self.offers()
            if offer.name == name and (not distribution or offer.distribution == normalized(distribution))
        ]
        admitted = [offer for offer in matches if not admission.refusal(offer.distribution)]
        if not distribution and name in RESERVED:
            admitted = [offer for offer in admitted if offer.distribution == OURS]
        if not admitted:
            raise UnknownBackendError(self._unknown(spec, matches, admission))
        if len(admitted) > 1:
            both = " and ".join(f"{offer.distribution} {offer.version}" for offer in admitted)
            choices = " or ".join(repr(offer.spec) for offer in admitted)
            raise AmbiguousBackendError(f"backend {name!r} is offered by {both}; say which: {choices}")
        return admitted[0]

    def _unknown(self, spec: str, matches: list[Offer], admission: Admission) -> str:
        if matches:
            if reason := admission.refusal(matches[0].distribution):
                return f"{matches[0]} is installed, but {reason}"
            return f"the name {spec!r} is reserved for {OURS}; ask for {matches[0].spec!r}"
        from difflib import get_close_matches

        names = sorted({o.name for o in self.offers() if not admission.refusal(o.distribution)})
        near = get_close_matches(spec.rpartition(":")[2].lower(), names, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        return f"no backend named {spec!r} is installed. {hint}Installed: {', '.join(names) or 'none'}"

    def name(self, offer: Offer) -> str:
        """Say what an offer is asked for by: its name, unless that means another one, or more than one."""
        if offer.distribution == OURS:
            return offer.name
        unique = sum(other.name == offer.name for other in self.offers()) == 1
        return offer.name if unique and offer.name not in RESERVED else offer.spec

    def state(self, offer: Offer) -> tuple[str, str]:
        """Say, running nothing, how far an offer has come: its state, and the reason if it is not usable."""
        try:
            reason = Admission.read().refusal(offer.distribution)
        except ValueError as error:  # as long as nobody knows what was meant, no plugin runs
            reason = "" if offer.distribution == OURS else str(error)
        if reason:
            return "disabled", reason
        if (failure := self._failures.get(offer)) is not None:
            return "failed", failure
        if self.turns.taken(offer):
            return "starting", "it is being started now"
        loaded = self._loaded.get(offer)
        return ("ready" if loaded is not None and loaded.backend is not None else "not loaded"), ""

    # What is running

    def get(self, spec: str) -> Backend[Any]:
        """Return the backend, created now if this is the first time."""
        if (backend := self.ours.get(spec)) is not None:
            return backend
        offer = self.find(spec)
        backend = self.start(offer)
        if offer.distribution == OURS:
            self.ours[spec] = backend
        return backend

    def start(self, offer: Offer) -> Backend[Any]:
        """Create a backend, unless it is running."""
        loaded = self._load(offer)
        if loaded.backend is None:
            with self.turns.of(offer), self._remembering_failure(offer):
                if loaded.backend is None:
                    loaded.backend = create(offer, loaded)
                    self._loaded[offer] = loaded  # though `forget` may have been called meanwhile
        return loaded.backend

    def info(self, offer: Offer) -> BackendInfo:
        """What the plugin says of itself; this runs the plugin's module, and not its array library."""
        return self._load(offer).info

    def xfails(self, spec: str) -> list[Xfail]:
        """The cases of the conformance kit that the plugin says it fails."""
        offer = self.find(spec)
        loaded = self._load(offer)
        with blaming(offer, "failed to list its known failures"):
            return [xfail for each in loaded.hook.lucid_conformance_xfails(name=offer.name) for xfail in each]

    def _load(self, offer: Offer) -> Loaded:
        if (loaded := self._loaded.get(offer)) is None:
            with self.turns.of(offer), self._remembering_failure(offer):
                if (loaded := self._loaded.get(offer)) is None:
                    loaded = self._loaded[offer] = load(offer)
        return loaded

    @contextmanager
    def _remembering_failure(self, offer: Offer) -> Iterator[None]:
        try:
            yield
        except (BackendUnavailableError, BackendProtocolError) as error:
            self._failures[offer] = str(error)
            raise
        self._failures.pop(offer, None)

    # Whose arrays these are

    def listed(self, offer: Offer, names: tuple[str, ...]) -> str:
        """Return the first of a class's names that is among a backend's array types; "" if none is."""
        array_types = self.info(offer).array_types
        return next((name for name in names if name in array_types), "")

    def owner(self, names: tuple[str, ...]) -> tuple[Offer, str] | None:
        """Return whose arrays these are: the first backend that lists one of a class's names, and that name.

        Our own backends are asked first, then plugins that are loaded already, then the others one by one,
        so that no plugin runs for the sake of an array that is known without it. One that can't be loaded
        lists nothing, this time.
        """
        key, owners = (names, Admission.read()), self._owners  # which `forget` may replace meanwhile
        if key in owners:
            return owners[key]
        admitted = [offer for offer in self.offers() if not key[1].refusal(offer.distribution)]
        all_answered = True
        for offer in sorted(admitted, key=lambda o: (o.distribution != OURS, o not in self._loaded)):
            try:
                if name := self.listed(offer, names):
                    return owners.setdefault(key, (offer, name))
            except LucidError:
                all_answered = False
        if all_answered:
            owners[key] = None
        return None


registry: Final = Registry()
