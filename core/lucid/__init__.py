"""One loss, every array library.

>>> import lucid, lucid.nn as nn
>>> probs = lucid.tensor([0.9, 0.1, 0.8, 0.3], requires_grad=True)
>>> targets = lucid.tensor([1.0, 0.0, 1.0, 0.0])
>>> loss = nn.BCELoss()(probs, targets)
>>> loss.backward()
>>> print(f"{loss.item():.6f}")
0.197635
"""

from typing import TYPE_CHECKING, Any

from lucid import errors
from lucid._autograd import no_grad
from lucid._creation import manual_seed, ones, rand, randint, randn, tensor, zeros
from lucid._introspection import BackendEntry, Explanation, backends, explain
from lucid._selection import get_backend, refresh_backends, set_backend, use_backend
from lucid._tensor import Tensor
from lucid._threads import get_num_threads, set_num_threads

if TYPE_CHECKING:
    from lucid import nn

__version__ = "0.1.0"

__all__ = [
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


def __getattr__(name: str) -> Any:
    """Import `lucid.nn` when it is first asked for: a third of what importing lucid costs."""
    if name != "nn":
        raise AttributeError(f"module 'lucid' has no attribute {name!r}")
    from importlib import import_module

    return import_module("lucid.nn")
