"""One loss, every array library.

>>> import lucid, lucid.nn as nn
>>> probs = lucid.tensor([0.9, 0.1, 0.8, 0.3], requires_grad=True)
>>> targets = lucid.tensor([1.0, 0.0, 1.0, 0.0])
>>> loss = nn.BCELoss()(probs, targets)
>>> loss.backward()
>>> print(f"{loss.item():.6f}")
0.197635
"""

TYPE_CHECKING = False  # as type checkers know it; the module typing takes longer to import than all of this
if TYPE_CHECKING:
    from lucid import errors, nn
    from lucid._accumulator import BCEAccumulator
    from lucid._autograd import no_grad
    from lucid._creation import manual_seed, ones, rand, randint, randn, tensor, zeros
    from lucid._introspection import BackendEntry, Explanation, backends, explain
    from lucid._selection import get_backend, refresh_backends, set_backend, use_backend
    from lucid._tensor import Tensor
    from lucid._threads import get_num_threads, set_num_threads

__version__ = "0.1.0"

__all__ = [
    "BCEAccumulator",
    "BackendEntry",
    "Explanation",
    "Tensor",
    "backends",
    "errors",
    "explain",
    "get_backend",
    "get_num_threads",
    "manual_seed",
    "nn",
    "no_grad",
    "ones",
    "rand",
    "randint",
    "randn",
    "refresh_backends",
    "set_backend",
    "set_num_threads",
    "tensor",
    "use_backend",
    "zeros",
]

_HOMES = {
    "_accumulator": ("BCEAccumulator",),
    "_autograd": ("no_grad",),
    "_creation": ("manual_seed", "ones", "rand", "randint", "randn", "tensor", "zeros"),
    "_introspection": ("BackendEntry", "Explanation", "backends", "explain"),
    "_selection": ("get_backend", "refresh_backends", "set_backend", "use_backend"),
    "_tensor": ("Tensor",),
    "_threads": ("get_num_threads", "set_num_threads"),
}


def __getattr__(name: str) -> object:
    """Import what is asked for when it is first asked for: who only lists backends needs no tensors."""
    if name not in __all__:
        raise AttributeError(f"module 'lucid' has no attribute {name!r}")
    from importlib import import_module

    home = next((home for home, names in _HOMES.items() if name in names), name)
    module = import_module(f"lucid.{home}")
    value = globals()[name] = module if home == name else getattr(module, name)
    return value


def __dir__() -> list[str]:
    """List what there is, imported or not."""
    return sorted({*globals(), *__all__})
