"""From an entry point to a plugin, and from a plugin to a backend, with a clear error for each wrong step.

Each plugin gets a plugin manager of its own, so that none can answer for, or break the check of, another one.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lucid.errors import BackendProtocolError, BackendUnavailableError
from lucid.protocol import API_VERSION, Backend, BackendInfo

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["OURS", "Loaded", "Offer", "blaming", "create", "flag", "load", "normalized"]

OURS: Final = "lucid-bce"
METHODS: Final = ("info", "xp", "asarray", "to_numpy", "host_values", "differentiable")
KERNELS: Final = ("bce", "bce_with_logits")


def normalized(distribution: str) -> str:
    """Spell a distribution's name as PEP 503 does."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def flag(variable: str) -> bool:
    """Read a Boolean environment variable, strictly."""
    value = os.environ.get(variable, "")
    word = value.strip().lower()
    if word in {"", "0", "false", "no"}:
        return False
    if word in {"1", "true", "yes"}:
        return True
    raise ValueError(f"{variable}={value!r} is not a Boolean; use one of 0, 1, true, false, yes, no")


class Offer(NamedTuple):
    """An entry point: somebody's word that they have a backend of this name."""

    name: str
    distribution: str
    version: str
    entry_point: "EntryPoint"

    @classmethod
    def of(cls, entry_point: "EntryPoint") -> "Offer":
        """Read an entry point's metadata."""
        known = {} if entry_point.dist is None else entry_point.dist.metadata.json
        # an entry point may be made by hand, and a half-removed distribution may have lost its metadata
        name, version = str(known.get("name", "unknown")), str(known.get("version", "0"))
        return cls(entry_point.name, normalized(name), version, entry_point)

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


class Loaded:
    """A plugin that was imported and described itself; the backend follows when it is asked for."""

    def __init__(self, hook: Any, info: BackendInfo) -> None:
        self.hook = hook
        self.info = info
        self.backend: Backend[Any] | None = None


@contextmanager
def blaming(offer: Offer, what: str, requires: str = "") -> Iterator[None]:
    """Turn whatever goes wrong inside a plugin into one clear error."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BackendUnavailableError as error:  # it knows the reason: ours is the headline, its cause the cause
        raise BackendUnavailableError(f"{offer} is not available: {error}") from error.__cause__
    except BaseException as error:  # a plugin may call sys.exit(); the others must go on
        first_line = (str(error).splitlines() or [""])[0]
        reason = f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__
        if requires and isinstance(error, ModuleNotFoundError):
            reason += f"; python -m pip install {requires}"
        raise BackendUnavailableError(f"{offer} {what}: {reason}") from error


def load(offer: Offer) -> Loaded:
    """Import a plugin's module, check its hooks, and ask it what it is."""
    import pluggy

    from lucid import hookspecs

    manager = pluggy.PluginManager("lucid")
    manager.add_hookspecs(hookspecs)
    with blaming(offer, "failed at import"):
        plugin = offer.entry_point.load()
    try:
        manager.register(plugin, name=offer.entry_point.value)
        with blaming(offer, "failed to describe itself"):
            info = manager.hook.lucid_backend_info(name=offer.name)
        check_version(offer, info)  # first: another version may have other hooks
        manager.check_pending()  # the only check that catches a misspelt hook
    except pluggy.PluginValidationError as error:
        raise BackendProtocolError(f"{offer} has a hook that lucid does not know: {error}") from error
    check_info(offer, info)
    return Loaded(manager.hook, info)


def check_version(offer: Offer, info: Any) -> None:
    """Raise if a plugin was written for another version of the contract."""
    if isinstance(info, BackendInfo) and info.api_version != API_VERSION:
        raise BackendProtocolError(
            f"{offer} is written for version {info.api_version} of lucid's backend API, and this lucid has "
            f"version {API_VERSION}; install a {offer.distribution} that matches"
        )


def check_info(offer: Offer, info: Any) -> None:
    """Raise unless a plugin described the backend that its entry point names."""
    if not isinstance(info, BackendInfo):
        raise BackendProtocolError(
            f"{offer}: lucid_backend_info({offer.name!r}) returned {info!r}, not a BackendInfo; "
            f"does it carry @hookimpl?"
        )
    if info.name != offer.name:
        raise BackendProtocolError(f"{offer} calls itself {info.name!r}")
    if not isinstance(info.array_types, tuple):  # `("library:Array")`, without its comma, is a string
        raise BackendProtocolError(f"{offer}: array_types is {info.array_types!r}, not a tuple")


def create(offer: Offer, loaded: Loaded) -> Backend[Any]:
    """Let a plugin create its backend, and check that it has what the contract names."""
    with blaming(offer, "failed to start", loaded.info.requires):
        backend: Backend[Any] | None = loaded.hook.lucid_create_backend(name=offer.name)
        missing = [name for name in (*METHODS, *KERNELS) if not hasattr(backend, name)]
        missing += [
            f"{name}.{method}"
            for name in KERNELS
            for method in ("forward", "backward")
            if name not in missing and not hasattr(getattr(backend, name), method)
        ]
    if backend is None:
        raise BackendProtocolError(f"{offer}: lucid_create_backend({offer.name!r}) returned None")
    if missing:
        raise BackendProtocolError(f"{offer} lacks {', '.join(missing)}; see lucid.protocol")
    if backend.info != loaded.info:
        raise BackendProtocolError(f"{offer}: its backend says {backend.info!r}, not {loaded.info!r}")
    return backend
