"""From what a user has to what a backend takes: numbers, lists, arrays, dtype names, shapes."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lucid._selection import backend_of, get_backend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lucid.protocol import Backend

__all__ = ["as_shape", "bring_in", "dtype_name", "host_array", "resolve_dtype"]


def bring_in(
    data: Any, source: "Backend[Any] | None", dtype: Any, backend_name: str | None
) -> "tuple[Backend[Any], Any]":
    """Copy data of any kind to the backend where it belongs; `source` is a tensor's own.

    NumPy's arrays are the host format here, as lists are, and go to the selected backend.
    """
    import numpy as np

    if source is None and not isinstance(data, np.ndarray):
        source = backend_of(data)
    backend = source if source is not None and backend_name is None else get_backend(backend_name)
    array = data
    if source is None:
        array = host_array(data)
        if dtype is None and not hasattr(data, "dtype") and array.dtype.kind == "f":
            dtype = "float32"  # what Python numbers become, as in PyTorch
    elif backend is not source:
        array = source.to_numpy(data)
    return backend, backend.asarray(array, dtype=resolve_dtype(backend, dtype), copy=True)


def host_array(data: Any) -> "NDArray[Any]":
    """Make a NumPy array of numbers, sequences and whatever offers ``__array__``, or say what is wrong."""
    import numpy as np

    if hasattr(type(data), "__dlpack__") and not isinstance(data, np.ndarray):
        cls = f"{type(data).__module__}.{type(data).__qualname__}"
        raise TypeError(
            f"no installed backend takes a {cls}; install one that does (`lucid backends` lists what there "
            f"is), or convert it yourself, for example with numpy.from_dlpack"
        )
    array = np.ma.asanyarray(data) if isinstance(data, np.ma.MaskedArray) else np.asarray(data)
    if array.dtype.kind not in "biufV":
        raise TypeError(f"expected numbers, not {type(data).__name__} of dtype {array.dtype}")
    return array


def resolve_dtype(backend: "Backend[Any]", dtype: Any) -> Any:
    """Turn a dtype's name into the library's own dtype."""
    if not isinstance(dtype, str):
        return dtype
    try:
        return getattr(backend.xp, dtype)
    except AttributeError:
        raise TypeError(f"backend {backend.info.name!r} has no dtype {dtype!r}") from None


def dtype_name(dtype: Any) -> str:
    """Name a dtype without its library: "float32"."""
    return str(dtype).rpartition(".")[2]


def as_shape(shape: Sequence[int | Sequence[int]]) -> tuple[int, ...]:
    """Read a shape that was given as f(2, 3) or as f((2, 3))."""
    if len(shape) == 1 and not isinstance(shape[0], int):
        return tuple(shape[0])
    return tuple(shape)  # type: ignore[arg-type]  # a sequence among several would fail in the library
