"""Tensor: an array, its backend, and its place on the tape.

The arrays inside are never written to: an in-place update gives the tensor another array. What the tape has
remembered therefore stays true.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lucid import _ops
from lucid._autograd import Leaf, Node, grad_enabled, walk_back
from lucid._convert import as_shape, bring_in, dtype_name, host_array, resolve_dtype
from lucid._selection import backend_of, common_backend

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lucid.protocol import Backend

__all__ = ["Tensor"]


class Tensor:
    """An array on some backend, which can record what is computed from it.

    Parameters
    ----------
    data : array, Tensor, number or nested sequence of numbers
        Copied. Numbers, sequences and NumPy arrays go to the selected backend; the arrays of any other
        library stay on theirs.
    dtype : str or the library's own dtype, optional
        Such as ``"float64"``. By default an array keeps its own, and Python numbers become float32, int64
        or bool.
    requires_grad : bool
        Whether `backward` is to fill in `grad`. Floating tensors only.
    backend : str, optional
        A backend's name; see `lucid.get_backend`.

    Raises
    ------
    TypeError
        `data` is nothing that a backend takes, or `requires_grad` is asked of integers.
    lucid.errors.LucidError
        The backend can't be had; the subclass and the message say why.

    Examples
    --------
    >>> import lucid
    >>> x = lucid.Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4., 6.], dtype=float32)
    """

    __slots__ = ("__weakref__", "_backend", "_data", "_node", "grad")
    __array_ufunc__ = None  # so that `array + tensor` asks the tensor
    __array_priority__ = 1000  # the same, for libraries that ask this way

    _backend: "Backend[Any]"
    _data: Any
    _node: Node | Leaf | None
    grad: "Tensor | None"

    def __init__(
        self, data: Any, *, dtype: Any = None, requires_grad: bool = False, backend: str | None = None
    ) -> None:
        source = data._backend if isinstance(data, Tensor) else None
        array = data._data if isinstance(data, Tensor) else data
        self._backend, self._data = bring_in(array, source, dtype, backend)
        self._node = None
        self.grad = None
        if requires_grad:
            self.requires_grad = True

    @classmethod
    def _wrap(cls, data: Any, backend: "Backend[Any]", node: Node | None = None) -> "Tensor":
        """Make a tensor of an array that is the backend's own, without a copy."""
        tensor = Tensor.__new__(Tensor)
        tensor._backend, tensor._data, tensor._node, tensor.grad = backend, data, node, None
        return tensor

    # What it is

    @property
    def backend(self) -> "Backend[Any]":
        """The backend that computes on it; its name is ``backend.info.name``."""
        return self._backend

    @property
    def data(self) -> Any:
        """The library's own array. It must not be written to."""
        return self._data

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of its axes."""
        return tuple(self._data.shape)

    @property
    def ndim(self) -> int:
        """The number of its axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of its elements."""
        from math import prod

        return prod(self.shape)

    @property
    def dtype(self) -> Any:
        """The library's own dtype."""
        return self._data.dtype

    @property
    def requires_grad(self) -> bool:
        """Whether gradients flow to or through it; can be set on a tensor that no operation made."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, wanted: bool) -> None:
        if isinstance(self._node, Node):
            raise RuntimeError("requires_grad can only be set on a leaf; use .detach() to cut a result off")
        if not wanted:
            self._node = None
        elif self._node is None:
            if not self._backend.xp.isdtype(self.dtype, "real floating"):
                raise TypeError(f"only floating tensors can require gradients, not {dtype_name(self.dtype)}")
            self._node = Leaf(self._accumulate)

    def _accumulate(self, gradient: Any) -> None:
        total = gradient if self.grad is None else self.grad._data + gradient
        self.grad = Tensor._wrap(total, self._backend)

    def __repr__(self) -> str:
        import numpy as np

        name = type(self).__name__
        values = np.array2string(np.asarray(self.numpy()), separator=", ", prefix=f"{name}(")
        notes = [f"dtype={dtype_name(self.dtype)}"]
        if self._backend.info.name != "numpy":
            notes.append(f"backend={self._backend.info.name}")
        if self.requires_grad:
            notes.append("requires_grad=True")
        return f"{name}({values}, {', '.join(notes)})"

    # Out of it

    def numpy(self) -> "NDArray[Any]":
        """Return the values as a NumPy array, which may share memory with this tensor."""
        return self._backend.to_numpy(self._data)

    def item(self) -> Any:
        """Return the only element as a Python number."""
        if self.size != 1:
            raise ValueError(f"item() takes a tensor of one element, and this one has shape {self.shape}")
        return self.numpy().item()

    def tolist(self) -> Any:
        """Return the values as nested lists of Python numbers."""
        return self.numpy().tolist()

    def detach(self) -> "Tensor":
        """Return a tensor of the same array that is not on the tape."""
        return Tensor._wrap(self._data, self._backend)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> "NDArray[Any]":
        import numpy as np

        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        return self._data.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[Any, int]:
        return self._data.__dlpack_device__()  # type: ignore[no-any-return]  # the array's own word

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __bool__(self) -> bool:
        return bool(self.item())

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("a tensor of no dimensions has no len()")
        return self.shape[0]

    # Back from it

    def backward(self, gradient: "Tensor | Any | None" = None, *, retain_graph: bool = False) -> None:
        """Add the gradient of this tensor to the `grad` of every leaf that it was computed from.

        Parameters
        ----------
        gradient : Tensor or array, optional
            The gradient of some scalar with respect to this tensor, in its shape. 1 for a scalar.
        retain_graph : bool
            Keep the record, so that `backward` can be called again.

        Raises
        ------
        RuntimeError
            Nothing was recorded; or it was freed by an earlier call; or this is no scalar and `gradient` is
            missing.
        """
        if self._node is None:
            raise RuntimeError(
                "backward() was called on a tensor that depends on nothing with requires_grad=True "
                "(or was computed under lucid.no_grad())"
            )
        if gradient is None:
            if self.size != 1:
                raise RuntimeError(
                    f"backward() without a gradient takes a scalar, and this tensor has shape {self.shape}; "
                    f"reduce it first, for example with .sum(), or pass a gradient of that shape"
                )
            seed = self._backend.xp.ones_like(self._data)
        else:
            seed = self._operand(gradient)
            if not isinstance(seed, Tensor) or seed.shape != self.shape:
                shape = seed.shape if isinstance(seed, Tensor) else ()
                raise RuntimeError(f"the gradient's shape is {shape}, and the tensor's {self.shape}")
            seed = seed._data
        walk_back(self._node, seed, retain=retain_graph)

    # Arithmetic

    def _operand(self, value: Any) -> "Tensor | float":
        """Accept a tensor, a number, or an array or list for this backend."""
        if isinstance(value, (bool, int, float)):
            return value
        backend = value._backend if isinstance(value, Tensor) else backend_of(value)
        if backend is None:
            dtype = self._data.dtype
            return Tensor._wrap(
                self._backend.asarray(host_array(value), dtype=dtype, like=self._data), self._backend
            )
        common_backend({"the left operand": self._backend, "the right operand": backend})
        return value if isinstance(value, Tensor) else Tensor._wrap(backend.asarray(value), backend)

    def _binary(self, op: Callable[..., _ops.Result], other: Any, *, swapped: bool = False) -> "Tensor":
        other = self._operand(other)
        return record(op, other, self) if swapped else record(op, self, other)

    def __add__(self, other: Any) -> "Tensor":
        return self._binary(_ops.add, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> "Tensor":
        return self._binary(_ops.subtract, other)

    def __rsub__(self, other: Any) -> "Tensor":
        return self._binary(_ops.subtract, other, swapped=True)

    def __mul__(self, other: Any) -> "Tensor":
        return self._binary(_ops.multiply, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> "Tensor":
        return self._binary(_ops.divide, other)

    def __rtruediv__(self, other: Any) -> "Tensor":
        return self._binary(_ops.divide, other, swapped=True)

    def __pow__(self, other: Any) -> "Tensor":
        if isinstance(other, (bool, int, float)):
            return record(_ops.power_of_number, self, exponent=other)
        return self._binary(_ops.power, other)

    def __rpow__(self, other: Any) -> "Tensor":
        base = self._operand(other)
        if not isinstance(base, Tensor):
            base = Tensor._wrap(self._backend.xp.full_like(self._data, base), self._backend)
        return record(_ops.power, base, self)

    def __matmul__(self, other: Any) -> "Tensor":
        return self._binary(_ops.matmul, other)

    def __rmatmul__(self, other: Any) -> "Tensor":
        return self._binary(_ops.matmul, other, swapped=True)

    def __neg__(self) -> "Tensor":
        return record(_ops.negative, self)

    # In-place, for parameters under no_grad

    def _update(self, result: "Tensor") -> "Tensor":
        """Take the result's array; where gradients flow, the result is a tensor of its own instead."""
        if isinstance(self._node, Leaf) and grad_enabled():
            raise RuntimeError(
                "an in-place update of a leaf that requires gradients can't be recorded; "
                "do it under `with lucid.no_grad():`, or write `x = x + ...`"
            )
        if result.requires_grad:
            return result
        if result.shape != self.shape:
            raise ValueError(f"an in-place update can't change the shape from {self.shape} to {result.shape}")
        if result.dtype != self.dtype and not self._backend.xp.isdtype(self.dtype, "real floating"):
            raise TypeError(f"{dtype_name(result.dtype)} values don't fit a {dtype_name(self.dtype)} tensor")
        self._data = _ops.like(self._backend.xp, result._data, self._data)
        return self

    def __iadd__(self, other: Any) -> "Tensor":
        return self._update(self + other)

    def __isub__(self, other: Any) -> "Tensor":
        return self._update(self - other)

    def __imul__(self, other: Any) -> "Tensor":
        return self._update(self * other)

    def __itruediv__(self, other: Any) -> "Tensor":
        return self._update(self / other)

    # Comparison

    def _compare(self, comparison: str, other: Any) -> "Tensor":
        other = self._operand(other)
        other_data = other._data if isinstance(other, Tensor) else other
        return Tensor._wrap(getattr(self._data, comparison)(other_data), self._backend)

    def __eq__(self, other: object) -> "Tensor":  # type: ignore[override]  # elementwise, as arrays are
        return self._compare("__eq__", other)

    def __ne__(self, other: object) -> "Tensor":  # type: ignore[override]  # elementwise, as arrays are
        return self._compare("__ne__", other)

    def __lt__(self, other: Any) -> "Tensor":
        return self._compare("__lt__", other)

    def __le__(self, other: Any) -> "Tensor":
        return self._compare("__le__", other)

    def __gt__(self, other: Any) -> "Tensor":
        return self._compare("__gt__", other)

    def __ge__(self, other: Any) -> "Tensor":
        return self._compare("__ge__", other)

    __hash__ = object.__hash__

    # Shape and reductions

    def sum(self, axis: _ops.Axes = None, *, keepdims: bool = False) -> "Tensor":
        """Return the sum over all axes, or some."""
        return record(_ops.sum_, self, axis=axis, keepdims=keepdims)

    def mean(self, axis: _ops.Axes = None, *, keepdims: bool = False) -> "Tensor":
        """Return the mean over all axes, or some; of integers and Booleans as float32."""
        floating = self._backend.xp.isdtype(self.dtype, "real floating")
        values = self if floating else self.astype("float32")
        return record(_ops.mean, values, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: int | Sequence[int]) -> "Tensor":
        """Return the same elements in another shape, in C order; one length may be -1."""
        return record(_ops.reshape, self, shape=as_shape(shape))

    def __getitem__(self, key: Any) -> "Tensor":
        keys = [k._data if isinstance(k, Tensor) else k for k in (key if isinstance(key, tuple) else (key,))]
        masks = [self._backend.xp.isdtype(k.dtype, "bool") for k in keys if hasattr(k, "dtype")]
        if self.requires_grad and grad_enabled() and not all(masks):
            raise TypeError(
                "indexing with an integer array has no gradient here; use slices or a mask, or index the "
                "tensor's .detach()"
            )
        return record(_ops.getitem, self, key=tuple(keys) if isinstance(key, tuple) else keys[0])

    def astype(self, dtype: Any) -> "Tensor":
        """Return the same values in another dtype, such as ``"float64"``."""
        target = resolve_dtype(self._backend, dtype)
        if self._backend.xp.isdtype(target, "real floating"):
            return record(_ops.astype, self, dtype=target)
        return Tensor._wrap(self._backend.xp.astype(self._data, target), self._backend)

    # Functions

    def sigmoid(self) -> "Tensor":
        """Return 1 / (1 + exp(-self))."""
        return record(_ops.sigmoid, self)

    def relu(self) -> "Tensor":
        """Return max(self, 0)."""
        return record(_ops.relu, self)


def record(op: Callable[..., _ops.Result], *operands: "Tensor | float", **options: Any) -> Tensor:
    """Run an operation on tensors and Python numbers, and put it on the tape if a gradient may be wanted."""
    backend = next(operand._backend for operand in operands if isinstance(operand, Tensor))
    arrays = [operand._data if isinstance(operand, Tensor) else operand for operand in operands]
    result, pullbacks = op(backend.xp, *arrays, **options)
    nodes = [operand._node if isinstance(operand, Tensor) else None for operand in operands]
    if not grad_enabled() or not any(nodes):
        return Tensor._wrap(result, backend)

    def pullback(gradient: Any, needs: Sequence[bool]) -> list[Any]:
        return [
            _ops.like(backend.xp, pull(gradient), array) if needed else None
            for pull, array, needed in zip(pullbacks, arrays, needs, strict=True)
        ]

    return Tensor._wrap(result, backend, Node(nodes, pullback))
