"""From what a user has to what a backend takes: numbers, lists, arrays, dtype names, shapes."""

from collections.abc import Iterable, Sequence
from math import prod
from numbers import Integral, Real
from operator import index
from typing import TYPE_CHECKING, Any

from lucid._selection import NUMBERS, backend_of, get_backend, require_same

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lucid.protocol import Backend

__all__ = [
    "as_key",
    "as_operand",
    "as_seed",
    "as_shape",
    "bring_in",
    "dtype_name",
    "host_array",
    "is_numpy_scalar",
    "resolve_dtype",
]


def bring_in(
    data: Any, source: "Backend[Any] | None", dtype: Any, backend_name: str | None
) -> "tuple[Backend[Any], Any]":
    """Copy data of any kind to the backend where it belongs; `source` is a tensor's own.

    NumPy's arrays are the host format here, as lists are, and go to the selected backend.
    """
    import numpy as np

    if source is None and not isinstance(data, (np.ndarray, np.generic)):
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
    """Make a NumPy array, of native byte order, of whatever NumPy can read, or say what is wrong."""
    import numpy as np

    if type(data) in NUMBERS and (type(data) is float or abs(data) < 2**63):  # torch.compile follows this
        return np.asarray(data, dtype=type(data))
    if hasattr(type(data), "__dlpack__") and not isinstance(data, np.ndarray):
        cls = f"{type(data).__module__}.{type(data).__qualname__}"
        raise TypeError(
            f"no installed backend takes a {cls}; install one that does (`lucid backends` lists what there "
            f"is), or convert it yourself, for example with numpy.from_dlpack"
        )
    if isinstance(data, np.ma.MaskedArray):
        raise TypeError(
            "a masked array's mask would be lost; pass .filled(...) as the target with that value as "
            "ignore_index, or .compressed() arrays"
        )
    array = np.asarray(data)
    if array.dtype.kind not in "biufV" or array.dtype.type is np.void:  # bfloat16 is of kind V, and no void
        raise TypeError(f"expected numbers, not {type(data).__name__} of dtype {array.dtype}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def is_numpy_scalar(value: Any) -> bool:
    """Whether it is a number with a dtype."""
    import numpy as np

    return isinstance(value, np.generic)


def as_operand(value: Any, backend: "Backend[Any]", array: Any) -> Any:
    """Bring in what meets an array of some backend: as a Python number, or as an array there.

    Floats that have no dtype of their own take the array's, or float32 where the array holds integers. What
    is neither number nor array is NotImplemented, so that Python asks it in turn.
    """
    if isinstance(value, Real):
        return as_number(value)
    owner = backend_of(value)
    if owner is not None:
        require_same("one operand", backend, "the other", owner)
        return backend.asarray(value, copy=True)  # the user may write to it before the tape is read
    if not isinstance(value, (list, tuple)) and not hasattr(value, "__array__"):
        return NotImplemented
    host = host_array(value)
    own = array.dtype if backend.xp.isdtype(array.dtype, "real floating") else backend.xp.float32
    return backend.asarray(host, dtype=own if host.dtype.kind == "f" else None, like=array, copy=True)


def as_seed(given: Any, backend: "Backend[Any]", array: Any) -> Any:
    """Check the gradient that `backward` starts from, and give it the array's dtype; 1 for a scalar."""
    shape = tuple(array.shape)
    if given is None:
        if prod(shape) != 1:
            raise RuntimeError(
                f"backward() without a gradient takes a scalar, and this tensor has shape {shape}; "
                f"reduce it first, for example with .sum(), or pass a gradient of that shape"
            )
        return backend.xp.ones_like(array)
    if not hasattr(given, "dtype"):
        raise TypeError(f"a gradient is a tensor, an array or a list, not {type(given).__name__}")
    if tuple(given.shape) != shape:
        raise RuntimeError(f"the gradient's shape is {tuple(given.shape)}, and the tensor's {shape}")
    return backend.xp.astype(given, array.dtype, copy=False)


def as_key(parts: "list[Any]", backend: "Backend[Any]", array: Any) -> tuple[Any, bool]:
    """Make the parts of an index one key, and say whether it may name an element more than once."""
    keys = [as_index(part, backend, array) for part in parts]
    arrays = [key for key in keys if hasattr(key, "dtype")]
    if not arrays and ... not in keys:
        keys.append(...)  # as the standard wants it
    may_repeat = not all(backend.xp.isdtype(key.dtype, "bool") for key in arrays)
    return (keys[0] if len(keys) == 1 else tuple(keys)), may_repeat


def as_index(key: Any, backend: "Backend[Any]", array: Any) -> Any:
    """Accept one part of a key: as it is, or as an array of integers or Booleans."""
    if key is None or key is ... or isinstance(key, (slice, int)):
        return key
    found = as_operand(key, backend, array)
    if isinstance(found, int):
        return found
    if hasattr(found, "dtype") and backend.xp.isdtype(found.dtype, ("bool", "integral")):
        return found if tuple(found.shape) or backend.xp.isdtype(found.dtype, "bool") else int(found)
    raise TypeError(
        f"{key!r} is no index; use integers, slices, None, ..., and arrays of integers or Booleans"
    )


def as_number(value: Any) -> "bool | int | float":
    """Make a plain Python number, also of NumPy's scalars: it takes the dtype of what it meets."""
    if isinstance(value, bool):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


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
    return str(getattr(dtype, "name", dtype)).rpartition(".")[2]


def as_shape(shape: Sequence[int | Sequence[int]]) -> tuple[int, ...]:
    """Read a shape that was given as f(2, 3) or as f((2, 3))."""
    if len(shape) == 1 and isinstance(shape[0], Iterable):
        shape = tuple(shape[0])
    return tuple(index(length) for length in shape)  # type: ignore[arg-type]  # it raises TypeError itself
