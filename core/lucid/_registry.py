"""From an installed distribution's metadata to a plugin, and from a plugin to a backend.

Nothing is imported to list what is installed, and asking for one backend runs no other plugin's code. Each
plugin gets a plugin manager of its own, so that none can answer for, or break the check of, another one.
"""

import os
import re
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final, final

from lucid.errors import (
    AmbiguousBackendError,
    BackendProtocolError,
    BackendUnavailableError,
    UnknownBackendError,
)
from lucid.protocol import API_VERSION, Backend, BackendInfo, Xfail

GROUP: Final = "lucid.backends"
OURS: Final = "lucid-bce"
RESERVED: Final = frozenset({"numpy", "cupy", "torch", "dask"})
MEMBERS: Final = (
    "info",
    "xp",
    "asarray",
    "to_numpy",
    "host_values",
    "differentiable",
    "bce",
    "bce_with_logits",
)


def normalized(distribution: str) -> str:
    """Spell a distribution's name as PEP 503 does."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def flag(variable: str) -> bool:
    """Read a Boolean environment variable, strictly."""
    value = os.environ.get(variable, "").strip().lower()
    if value in {"1", "true", "yes"}:
        return True
    if value in {"", "0", "false", "no"}:
        return False
    raise ValueError(f"{variable}={value!r} is not a Boolean; use one of 0, 1, true, false, yes, no")


@dataclass(frozen=True, slots=True)
class Offer:
    """An entry point: somebody's word that they have a backend of this name."""

    name: str
    distribution: str
    version: str
    entry_point: EntryPoint

    def __str__(self) -> str:
        return f"backend {self.name!r} (from {self.distribution} {self.version})"

    @property
    def spec(self) -> str:
        """The name that settles an ambiguity."""
        return f"{self.distribution}:{self.name}"

    @property
    def disabled(self) -> bool:
        """Whether the environment keeps it out."""
        return self.distribution != OURS and flag("LUCID_DISABLE_PLUGINS")


@dataclass(slots=True)
class Loaded:
    """A plugin that was imported and described itself; the backend follows when it is asked for."""

    hook: Any
    info: BackendInfo
    backend: Backend[Any] | None = None


@final
class Registry:
    """The installed backends, each loaded when it is first asked for."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self.forget()

    def forget(self) -> None:
        """Start again: scan the metadata anew at the next need, and create backends anew."""
        with self._lock:
            self._offers: tuple[Offer, ...] | None = None
            self._loaded: dict[Offer, Loaded] = {}
            self._failures: dict[Offer, str] = {}
            self._owners: dict[tuple[type, bool], Offer | None] = {}

    def offers(self) -> tuple[Offer, ...]:
        """Everything that is installed, our own backends first."""
        if self._offers is None:
            with self._lock:
                if self._offers is None:
                    found = (offer_of(entry_point) for entry_point in entry_points(group=GROUP))
                    self._offers = tuple(
                        sorted(found, key=lambda o: (o.distribution != OURS, o.name, o.spec))
                    )
        return self._offers

    def find(self, spec: str) -> Offer:
        """Look up ``"name"`` or ``"distribution:name"``."""
        distribution, _, name = spec.rpartition(":")
        matches = [
            offer
            for offer in self.offers()
            if offer.name == name and (not distribution or offer.distribution == normalized(distribution))
        ]
        enabled = [offer for offer in matches if not offer.disabled]
        if not distribution and name in RESERVED:
            enabled = [offer for offer in enabled if offer.distribution == OURS]
        if not enabled:
            raise UnknownBackendError(self._unknown(spec, matches))
        if len(enabled) > 1:
            both = " and ".join(f"{offer.distribution} {offer.version}" for offer in enabled)
            choices = " or ".join(repr(offer.spec) for offer in enabled)
            raise AmbiguousBackendError(f"backend {name!r} is offered by {both}; say which: {choices}")
        return enabled[0]

    def _unknown(self, spec: str, matches: list[Offer]) -> str:
        if matches and matches[0].disabled:
            return f"{matches[0]} is installed, but LUCID_DISABLE_PLUGINS keeps it out"
        if matches:
            return f"the name {spec!r} is reserved for {OURS}; ask for {matches[0].spec!r}"
        from difflib import get_close_matches

        names = sorted({offer.name for offer in self.offers() if not offer.disabled})
        near = get_close_matches(spec, names, n=1)
        hint = f"Did you mean {near[0]!r}? " if near else ""
        return f"no backend named {spec!r} is installed. {hint}Installed: {', '.join(names) or 'none'}"

    def get(self, spec: str) -> Backend[Any]:
        """Return the backend, created now if this is the first time."""
        offer = self.find(spec)
        loaded = self._loaded.get(offer)
        if loaded is not None and loaded.backend is not None:
            return loaded.backend
        with self._lock:
            try:
                loaded = self._load(offer)
                if loaded.backend is None:
                    loaded.backend = create(offer, loaded)
            except (BackendUnavailableError, BackendProtocolError) as error:
                self._failures[offer] = str(error)
                raise
            self._failures.pop(offer, None)
            return loaded.backend

    def info(self, offer: Offer) -> BackendInfo:
        """What the plugin says of itself; this runs the plugin's module, and not its array library."""
        with self._lock:
            return self._load(offer).info

    def xfails(self, spec: str) -> list[Xfail]:
        """The cases of the conformance kit that the plugin says it fails."""
        offer = self.find(spec)
        with self._lock:
            loaded = self._load(offer)
        return [xfail for each in loaded.hook.lucid_conformance_xfails(name=offer.name) for xfail in each]

    def state(self, offer: Offer) -> tuple[str, str]:
        """Say, running nothing, how far an offer has come: its state, and the reason if it failed."""
        if offer.disabled:
            return "disabled", "LUCID_DISABLE_PLUGINS keeps it out"
        if offer in self._failures:
            return "failed", self._failures[offer]
        loaded = self._loaded.get(offer)
        return ("ready" if loaded is not None and loaded.backend is not None else "not loaded"), ""

    def owner(self, cls: type) -> Offer | None:
        """Whose arrays these are: the first installed backend that lists the class or a base of it.

        Our own backends are asked first, then plugins that are loaded already, then the others one by one,
        so that no plugin runs for the sake of an array that is known without it.
        """
        key = (cls, flag("LUCID_DISABLE_PLUGINS"))
        if key not in self._owners:
            with self._lock:
                self._owners[key] = next((o for o in self._by_closeness() if self.lists(o, cls)), None)
        return self._owners[key]

    def _by_closeness(self) -> Iterable[Offer]:
        enabled = [offer for offer in self.offers() if not offer.disabled]
        return sorted(enabled, key=lambda offer: (offer.distribution != OURS, offer not in self._loaded))

    def lists(self, offer: Offer, cls: type) -> bool:
        """Whether a backend lists a class or a base of it; no, if its plugin can't be loaded."""
        try:
            array_types = self.info(offer).array_types
        except (BackendUnavailableError, BackendProtocolError) as error:
            self._failures[offer] = str(error)
            return False
        return any(f"{base.__module__}:{base.__qualname__}" in array_types for base in cls.__mro__)

    def _load(self, offer: Offer) -> Loaded:
        if offer not in self._loaded:
            self._loaded[offer] = load(offer)
        return self._loaded[offer]


def offer_of(entry_point: EntryPoint) -> Offer:
    """Read one entry point's metadata."""
    distribution = entry_point.dist
    if distribution is None:  # an entry point that was made by hand, outside any distribution
        return Offer(entry_point.name, "unknown", "0", entry_point)
    return Offer(entry_point.name, normalized(distribution.name), distribution.version, entry_point)


def load(offer: Offer) -> Loaded:
    """Import a plugin's module, check its hooks, and ask it what it is."""
    import pluggy

    from lucid import hookspecs

    manager = pluggy.PluginManager("lucid")
    manager.add_hookspecs(hookspecs)
    try:
        plugin = offer.entry_point.load()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may call sys.exit() at import; the others must go on
        raise BackendUnavailableError(f"{offer} failed at import: {described(error)}") from error
    try:
        manager.register(plugin, name=offer.entry_point.value)
        manager.check_pending()  # the only check that catches a misspelt hook
    except pluggy.PluginValidationError as error:
        raise BackendProtocolError(f"{offer} has a hook that lucid does not know: {error}") from error
    info = ask(offer, "describe itself", manager.hook.lucid_backend_info)
    if not isinstance(info, BackendInfo):
        raise BackendProtocolError(
            f"{offer}: lucid_backend_info({offer.name!r}) returned {info!r}, not a BackendInfo"
        )
    if info.api_version != API_VERSION:
        raise BackendProtocolError(
            f"{offer} is written for version {info.api_version} of lucid's backend API, and this lucid has "
            f"version {API_VERSION}; install a {offer.distribution} that matches"
        )
    if info.name != offer.name:
        raise BackendProtocolError(f"{offer} calls itself {info.name!r}")
    return Loaded(manager.hook, info)


def create(offer: Offer, loaded: Loaded) -> Backend[Any]:
    """Let a plugin create its backend, and check that it has what the contract names."""
    backend: Backend[Any] | None = ask(offer, "start", loaded.hook.lucid_create_backend)
    if backend is None:
        raise BackendProtocolError(f"{offer}: lucid_create_backend({offer.name!r}) returned None")
    missing = [name for name in MEMBERS if not hasattr(backend, name)]
    missing += [
        f"{kernel}.{method}"
        for kernel in ("bce", "bce_with_logits")
        for method in ("forward", "backward")
        if hasattr(backend, kernel) and not hasattr(getattr(backend, kernel), method)
    ]
    if missing:
        raise BackendProtocolError(f"{offer} lacks {', '.join(missing)}; see lucid.protocol")
    return backend


def ask(offer: Offer, what: str, hook: Any) -> Any:
    """Call a hook of one plugin; whatever goes wrong inside it becomes one clear error."""
    try:
        return hook(name=offer.name)
    except BackendUnavailableError as error:  # it knows the reason: ours is the headline, its cause the cause
        raise BackendUnavailableError(f"{offer} is not available: {error}") from error.__cause__
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise BackendUnavailableError(f"{offer} failed to {what}: {described(error)}") from error


def described(error: BaseException) -> str:
    """Name an exception in one line."""
    return f"{type(error).__name__}: {error}".strip().rstrip(":").splitlines()[0]


registry: Final = Registry()
