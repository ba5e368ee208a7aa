"""From an entry point to a plugin, and from a plugin to a backend, with a clear error for each wrong step.

Each plugin gets a plugin manager of its own, so that none can answer for, or break the check of, another one.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from lucid._admission import OURS, normalized
from lucid.errors import BackendProtocolError, BackendUnavailableError
from lucid.protocol import Backend, BackendInfo

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

__all__ = ["Loaded", "Offer", "blaming", "create", "first_line", "load", "scan"]

GROUP: Final = "lucid.backends"


class Offer(NamedTuple):
    """An entry point: somebody's word that they have a backend of this name."""

    name: str
    distribution: str
    version: str
    entry_point: "EntryPoint"

    @classmethod
    def of(cls, entry_point: "EntryPoint") -> "Offer":
        """Read an entry point's metadata."""
        known: dict[str, Any] = {}
        # an entry point may be made by hand, and a half-removed distribution may have lost its metadata
        with suppress(Exception):
            known = entry_point.dist.metadata.json if entry_point.dist else {}
        name, version = str(known.get("name", "unknown")), str(known.get("version", "0"))
        return cls(entry_point.name, normalized(name), version, entry_point)

    def __str__(self) -> str:
        return f"backend {self.name!r} (from {self.distribution} {self.version})"

    @property
    def spec(self) -> str:
        """The name that settles an ambiguity."""
        return f"{self.distribution}:{self.name}"


def scan() -> list[Offer]:
    """Read the metadata of what is installed. A distribution whose metadata can't be read offers nothing."""
    from importlib.metadata import distributions, entry_points

    try:
        return [Offer.of(entry_point) for entry_point in entry_points(group=GROUP)]
    except Exception as error:  # importlib.metadata gives up altogether: look into one after the other
        from logging import getLogger

        getLogger("lucid").warning("the metadata of some distribution can't be read: %r", error)
    found: dict[str, list[Offer]] = {}  # where there are two of one name, the first is imported
    for each in distributions():
        with suppress(Exception):
            found.setdefault(each.name, [Offer.of(one) for one in each.entry_points.select(group=GROUP)])
    return [offer for offers in found.values() for offer in offers]


class Loaded:
    """A plugin that was imported and described itself; the backend follows when it is asked for."""

    def __init__(self, hook: Any, info: BackendInfo) -> None:
        self.hook = hook
        self.info = info
        self.backend: Backend[Any] | None = None


@contextmanager
def blaming(
    offer: Offer, what: str, requires: str = "", passing: type[BaseException] = KeyboardInterrupt
) -> Iterator[None]:
    """Turn whatever goes wrong inside a plugin into one clear error; only the user's Ctrl-C goes through."""
    try:
        yield
    except (KeyboardInterrupt, passing):
        raise
    except BackendUnavailableError as error:  # it knows the reason: ours is the headline, its cause the cause
        raise BackendUnavailableError(f"{offer} is not available: {error}") from error.__cause__
    except BaseException as error:  # a plugin may call sys.exit(); the others must go on
        reason = first_line(error)
        if requires and isinstance(error, ModuleNotFoundError):
            reason += f"; python -m pip install {requires}"
        raise BackendUnavailableError(f"{offer} {what}: {reason}") from error


def first_line(error: BaseException) -> str:
    """Say what an exception says, in one line, whatever is wrong with it."""
    try:
        text = (str(error).splitlines() or [""])[0]
    except Exception:  # a plugin's exception is a plugin's code
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def load(offer: Offer) -> Loaded:
    """Import a plugin's module, check its hooks, and ask it what it is."""
    import pluggy

    from lucid import hookspecs
    from lucid._scrutiny import check_info, check_version, nothing_rebound

    manager = pluggy.PluginManager("lucid")
    manager.add_hookspecs(hookspecs)
    with nothing_rebound(offer), blaming(offer, "failed at import"):
        plugin = offer.entry_point.load()
    try:
        with blaming(offer, "failed to describe itself", passing=pluggy.PluginValidationError):
            manager.register(plugin, name=offer.entry_point.value)
            info = manager.hook.lucid_backend_info(name=offer.name)
        check_version(offer, info)  # first: another version may have other hooks
        manager.check_pending()  # the only check that catches a misspelt hook
    except pluggy.PluginValidationError as error:
        raise BackendProtocolError(f"{offer} has a hook that lucid does not know: {error}") from error
    check_info(offer, info)
    return Loaded(manager.hook, info)


def create(offer: Offer, loaded: Loaded) -> Backend[Any]:
    """Let a plugin create its backend, and check that it has and does what the contract says."""
    from lucid._scrutiny import faults, missing, nothing_rebound

    with nothing_rebound(offer), blaming(offer, "failed to start", loaded.info.requires):
        backend: Backend[Any] | None = loaded.hook.lucid_create_backend(name=offer.name)
        lacking, said = missing(backend), getattr(backend, "info", None)
    if backend is None:
        raise BackendProtocolError(f"{offer}: lucid_create_backend({offer.name!r}) returned None")
    if lacking:
        raise BackendProtocolError(f"{offer} lacks {', '.join(lacking)}; see lucid.protocol")
    if said != loaded.info:
        raise BackendProtocolError(f"{offer}: its backend says {said!r}, not {loaded.info!r}")
    if offer.distribution != OURS:  # ours have been tried by the tests
        with blaming(offer, "failed its trial", loaded.info.requires):
            fault = next(faults(backend), "")
        if fault:
            raise BackendProtocolError(
                f"{offer}: {fault}; see lucid.protocol, and `lucid check {offer.spec}`"
            )
    return backend
