"""Tensors from data, from a shape, and from chance.

Random numbers come from one generator on the host, so that a seed gives the same numbers on every backend.
"""

import os
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lucid._convert import as_shape
from lucid._tensor import Tensor

if TYPE_CHECKING:
    from numpy.random import Generator

__all__ = ["manual_seed", "ones", "rand", "randint", "randn", "tensor", "zeros"]

_lock = threading.RLock()
_generators: list["Generator"] = []  # one at most, made when it is first needed: NumPy is imported late

if hasattr(os, "register_at_fork"):  # no thread is half-way through drawing in what a child inherits
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release)


def tensor(
    data: Any, *, dtype: Any = None, requires_grad: bool = False, backend: str | None = None
) -> Tensor:
    """Copy data into a tensor.

    Parameters
    ----------
    data, dtype, requires_grad, backend
        As for `Tensor`.

    Returns
    -------
    Tensor
        On the selected backend, for numbers, sequences and NumPy arrays; otherwise where the data is.

    Examples
    --------
    >>> import lucid
    >>> lucid.tensor([0.9, 0.1])
    Tensor([0.9, 0.1], dtype=float32)
    """
    return Tensor(data, dtype=dtype, requires_grad=requires_grad, backend=backend)


def zeros(
    *shape: int | Sequence[int],
    dtype: Any = "float32",
    requires_grad: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Return a tensor of zeros.

    Parameters
    ----------
    *shape : int
        The lengths of the axes, as ``zeros(2, 3)`` or as ``zeros((2, 3))``.
    dtype, requires_grad, backend
        As for `Tensor`.

    Examples
    --------
    >>> import lucid
    >>> lucid.zeros(2)
    Tensor([0., 0.], dtype=float32)
    """
    import numpy as np

    return Tensor(np.zeros(as_shape(shape)), dtype=dtype, requires_grad=requires_grad, backend=backend)


def ones(
    *shape: int | Sequence[int],
    dtype: Any = "float32",
    requires_grad: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Return a tensor of ones.

    Parameters
    ----------
    *shape, dtype, requires_grad, backend
        As for `zeros`.

    Examples
    --------
    >>> import lucid
    >>> lucid.ones(2)
    Tensor([1., 1.], dtype=float32)
    """
    import numpy as np

    return Tensor(np.ones(as_shape(shape)), dtype=dtype, requires_grad=requires_grad, backend=backend)


def rand(
    *shape: int | Sequence[int],
    dtype: Any = "float32",
    requires_grad: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Return a tensor of numbers uniform in [0, 1).

    Parameters
    ----------
    *shape, dtype, requires_grad, backend
        As for `zeros`.

    Examples
    --------
    >>> import lucid
    >>> lucid.manual_seed(0)
    >>> lucid.rand(2)
    Tensor([0.6369617 , 0.26978672], dtype=float32)
    """
    numbers = drawn(lambda generator: generator.random(as_shape(shape)))
    return Tensor(numbers, dtype=dtype, requires_grad=requires_grad, backend=backend)


def randn(
    *shape: int | Sequence[int],
    dtype: Any = "float32",
    requires_grad: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Return a tensor of standard normal numbers.

    Parameters
    ----------
    *shape, dtype, requires_grad, backend
        As for `zeros`.

    Examples
    --------
    >>> import lucid
    >>> lucid.manual_seed(0)
    >>> lucid.randn(2)
    Tensor([ 0.12573022, -0.13210486], dtype=float32)
    """
    numbers = drawn(lambda generator: generator.standard_normal(as_shape(shape)))
    return Tensor(numbers, dtype=dtype, requires_grad=requires_grad, backend=backend)


def randint(
    low: int, high: int, size: int | Sequence[int], *, dtype: Any = "int64", backend: str | None = None
) -> Tensor:
    """Return a tensor of integers uniform in [low, high).

    Parameters
    ----------
    low, high : int
        The least integer, and the first beyond the greatest.
    size : int or sequence of int
        The shape.
    dtype, backend
        As for `Tensor`.

    Examples
    --------
    >>> import lucid
    >>> lucid.manual_seed(0)
    >>> lucid.randint(0, 2, (4,))
    Tensor([1, 1, 1, 0], dtype=int64)
    """
    numbers = drawn(lambda generator: generator.integers(low, high, as_shape((size,))))
    return Tensor(numbers, dtype=dtype, backend=backend)


def manual_seed(seed: int) -> None:
    """Start the generator of `rand`, `randn`, `randint` and the layers' initial weights anew.

    Parameters
    ----------
    seed : int
        Not negative. The same seed gives the same numbers on every backend.

    Examples
    --------
    >>> import lucid
    >>> lucid.manual_seed(0)
    """
    from numpy.random import default_rng

    generator = default_rng(seed)
    with _lock:
        _generators[:] = [generator]


def drawn(draw: "Callable[[Generator], Any]") -> Any:
    """Draw from the one generator, one thread at a time."""
    with _lock:
        if not _generators:
            from numpy.random import default_rng

            _generators.append(default_rng())
        return draw(_generators[0])
