"""What a plugin says and does, held against the contract before anybody computes with it.

These checks catch mistakes, each with its own words. They are no proof, which is the conformance kit's task,
and no protection from malice.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import lucid
from lucid._admission import OURS
from lucid.errors import BackendProtocolError
from lucid.protocol import API_VERSION, Backend, BackendInfo, LossSpec, Needs

if TYPE_CHECKING:
    from types import ModuleType

    from lucid._plugin import Offer

__all__ = ["check_info", "check_version", "faults", "missing", "nothing_rebound"]

METHODS: Final = ("info", "xp", "asarray", "to_numpy", "host_values", "differentiable")
KERNELS: Final = ("bce", "bce_with_logits")
ROOTS: Final = frozenset({"lucid", "lucid_host", "lucid_numpy", "lucid_cupy", "lucid_torch"})

_refused: "dict[Offer, str]" = {}


# What it says


def check_version(offer: "Offer", info: Any) -> None:
    """Raise if a plugin was written for another version of the contract."""
    if isinstance(info, BackendInfo) and info.api_version != API_VERSION:
        raise BackendProtocolError(
            f"{offer} is written for version {info.api_version} of lucid's backend API, and this lucid has "
            f"version {API_VERSION}; install a {offer.distribution} that matches"
        )


def check_info(offer: "Offer", info: Any) -> None:
    """Raise unless a plugin described the backend that its entry point names."""
    if not isinstance(info, BackendInfo):
        raise BackendProtocolError(
            f"{offer}: lucid_backend_info({offer.name!r}) returned {info!r}, not a BackendInfo; "
            f"does it carry @hookimpl?"
        )
    if info.name != offer.name:
        raise BackendProtocolError(f"{offer} calls itself {info.name!r}")
    names: Any = info.array_types  # whatever the annotation says
    if not isinstance(names, tuple):  # `("library:Array")`, without its comma, is a string
        raise BackendProtocolError(f"{offer}: array_types is {names!r}, not a tuple")
    for name in names:
        if not isinstance(name, str) or name.count(":") != 1:
            raise BackendProtocolError(f"{offer}: array_types has {name!r}, which is not 'module:qualname'")
        if name.startswith("builtins:"):  # every class is an object
            raise BackendProtocolError(f"{offer}: array_types has {name!r}, which is no array library's")


# What it does


def missing(backend: Any) -> list[str]:
    """Name what the contract has and a backend has not."""
    absent = [name for name in (*METHODS, *KERNELS) if not hasattr(backend, name)]
    return absent + [
        f"{name}.{method}"
        for name in KERNELS
        for method in ("forward", "backward")
        if name not in absent and not hasattr(getattr(backend, name), method)
    ]


def faults(backend: Backend[Any]) -> Iterator[str]:
    """Compute two small losses and their gradients, and say what does not have the right form."""
    import numpy as np

    given = np.asarray([[0.25, 0.5, 0.75], [0.5, 0.25, 1.0]], dtype=np.float32)
    x = backend.asarray(given)
    names = [f"{base.__module__}:{base.__qualname__}" for base in type(x).__mro__]
    if not set(names) & set(backend.info.array_types):
        yield f"asarray returned a {names[0]}, which array_types does not list"
    yield from wrong(x, "asarray", given.shape)
    if backend.host_values(x):  # under a compiler's trace there are none
        host: Any = backend.to_numpy(x)
        if not isinstance(host, np.ndarray) or not np.array_equal(host, given):
            yield f"to_numpy returned {host!r} for what asarray was given as {given!r}"
    for name, spec, shape in (
        ("bce", LossSpec("none"), given.shape),
        ("bce_with_logits", LossSpec("mean"), ()),
    ):
        kernel = getattr(backend, name)  # each once, since a library may compile for a while
        results = kernel.forward(spec, x, x, None, None, needs_grad=True)
        if not isinstance(results, tuple) or len(results) != 2:
            yield f"{name}.forward returned a {type(results).__name__}, not (loss, residuals)"
        loss, residuals = results
        yield from wrong(loss, f"{name}.forward", shape, x.dtype)
        gradients = kernel.backward(spec, residuals, None, Needs(True, False, False))
        if not isinstance(gradients, tuple) or len(gradients) != 3:
            yield f"{name}.backward returned a {type(gradients).__name__}, not a tuple of three gradients"
        yield from wrong(gradients[0], f"{name}.backward", given.shape, x.dtype)
        native = backend.differentiable(kernel)(spec, x, x, None, None)
        yield from wrong(native, f"differentiable({name})", shape, x.dtype)


def wrong(array: Any, what: str, shape: tuple[int, ...], dtype: Any = None) -> Iterator[str]:
    """Say if something is not an array of some shape and dtype."""
    if array is None or not hasattr(array, "shape") or not hasattr(array, "dtype"):
        yield f"{what} returned {array!r}, not an array"
    elif tuple(array.shape) != shape:
        yield f"{what} returned shape {tuple(array.shape)}, not {shape}"
    elif dtype is not None and array.dtype != dtype:
        yield f"{what} returned dtype {array.dtype}, not {dtype}"


# What it leaves alone


@contextmanager
def nothing_rebound(offer: "Offer") -> "Iterator[None]":
    """Put things back, and refuse a plugin for good, if it replaces a function or class of lucid's."""
    if offer.distribution == OURS:
        yield
        return
    if offer in _refused:  # its module is imported, and would look innocent now
        raise BackendProtocolError(_refused[offer])
    for name in lucid.__all__:
        getattr(lucid, name)  # what is not imported yet could not be watched
    before = {(owner, name): value for owner in namespaces() for name, value in definitions(owner)}
    try:
        yield
    finally:
        rebound = [each for each in before if vars(each[0]).get(each[1]) is not before[each]]
        for owner, name in rebound:
            setattr(owner, name, before[owner, name])
    if rebound:
        names = sorted(
            f"{getattr(owner, '__module__', '')}.{owner.__name__}.{name}" for owner, name in rebound
        )
        _refused[offer] = (
            f"{offer} rebinds {', '.join(name.lstrip('.') for name in names)}; it was put back, and the "
            f"plugin is refused until Python is started anew"
        )
        raise BackendProtocolError(_refused[offer])


def namespaces() -> "Iterator[ModuleType | type]":
    """List lucid's modules, and the classes in them."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in ROOTS:
            yield module
            held = list(vars(module).values())  # another thread may be importing it
            yield from (each for each in held if isinstance(each, type) and each.__module__ == name)


def definitions(owner: "ModuleType | type") -> Iterator[tuple[str, Any]]:
    """List what is defined there: data may change, functions and classes may not."""
    return ((name, value) for name, value in list(vars(owner).items()) if callable(value))
