"""Tensor: an array, its backend, and its place on the tape.

The arrays inside are never written to: an in-place update gives the tensor another array. What the tape has
remembered therefore stays true.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from lucid import _ops
from lucid._autograd import Leaf, Node, grad_enabled, walk_back
from lucid._convert import as_key, as_operand, as_seed, as_shape, bring_in, dtype_name, resolve_dtype
from lucid._selection import require_same

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lucid.protocol import Backend

__all__ = ["Tensor", "record"]

Op: TypeAlias = Callable[..., _ops.Result]
Method: TypeAlias = Callable[["Tensor", Any], "Tensor"]


def binary(op: Op, *, swapped: bool = False) -> Method:
    """Make the method of an operator; `swapped` where the tensor is on its right."""

    def method(self: "Tensor", other: Any) -> "Tensor":
        operand = self._operand(other)
        if operand is NotImplemented:
            return NotImplemented  # type: ignore[no-any-return]  # so that Python asks the other operand
        return record(op, operand, self) if swapped else record(op, self, operand)

    return method


def in_place(op: Op) -> Method:
    """Make the method of an augmented assignment."""
    compute = binary(op)

    def method(self: "Tensor", other: Any) -> "Tensor":
        if isinstance(self._node, Leaf) and grad_enabled():
            raise RuntimeError(
                "an in-place update of a leaf that requires gradients can't be recorded; "
                "do it under `with lucid.no_grad():`, or write `x = x + ...`"
            )
        result = compute(self, other)
        return result if result is NotImplemented else self._update(result)

    return method


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
        self._node = self.grad = None
        if requires_grad:
            self.requires_grad = True

    @classmethod
    def _wrap(cls, data: Any, backend: "Backend[Any]", node: Node | None = None) -> "Tensor":
        """Make a tensor of an array that is the backend's own, without a copy."""
        if not data.shape:
            data = backend.xp.asarray(data)  # NumPy's operations return scalars, which are no arrays
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
        if not self.size and self.ndim > 1:
            notes.insert(0, f"shape={self.shape}")
        if self._backend.info.name != "numpy":
            notes.append(f"backend={self._backend.info.name}")
        if self.requires_grad:
            notes.append("requires_grad=True")
        return f"{name}({values}, {', '.join(notes)})"

    # Out of it

    def numpy(self) -> "NDArray[Any]":
        """Return the values as a NumPy array, which may share memory with this tensor; don't write to it."""
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
            raise TypeError("a tensor of no dimensions has no length")
        return self.shape[0]

    def __iter__(self) -> "Iterator[Tensor]":
        return (self[n] for n in range(len(self)))

    # Copies of it: a leaf stays one, and a result becomes plain values

    def __deepcopy__(self, memo: dict[int, Any]) -> "Tensor":
        copied = type(self)(self, requires_grad=isinstance(self._node, Leaf))
        copied.grad = deepcopy(self.grad, memo)
        return copied

    def __reduce__(self) -> tuple[Any, ...]:
        values = (self.numpy(), dtype_name(self.dtype))
        return unpickled, (type(self), *values, isinstance(self._node, Leaf), self._backend.info.name)

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
        given = None if gradient is None else self._operand(gradient)
        if given is NotImplemented:
            raise TypeError(f"a gradient is a tensor, an array or a list, not {type(gradient).__name__}")
        array = given._data if isinstance(given, Tensor) else given
        walk_back(self._node, as_seed(array, self._backend, self._data), retain=retain_graph)

    # Arithmetic and comparison

    def _operand(self, value: Any) -> Any:
        """Accept a tensor, a number, or a list or array for this backend; NotImplemented for the rest."""
        if not isinstance(value, Tensor):
            return as_operand(value, self._backend, self._data)
        require_same("one operand", self._backend, "the other", value._backend)
        return value

    __add__: ClassVar[Method] = binary(_ops.add)
    __radd__: ClassVar[Method] = binary(_ops.add, swapped=True)
    __sub__: ClassVar[Method] = binary(_ops.subtract)
    __rsub__: ClassVar[Method] = binary(_ops.subtract, swapped=True)
    __mul__: ClassVar[Method] = binary(_ops.multiply)
    __rmul__: ClassVar[Method] = binary(_ops.multiply, swapped=True)
    __truediv__: ClassVar[Method] = binary(_ops.divide)
    __rtruediv__: ClassVar[Method] = binary(_ops.divide, swapped=True)
    __pow__: ClassVar[Method] = binary(_ops.power)
    __rpow__: ClassVar[Method] = binary(_ops.power, swapped=True)
    __matmul__: ClassVar[Method] = binary(_ops.matmul)
    __rmatmul__: ClassVar[Method] = binary(_ops.matmul, swapped=True)

    __iadd__: ClassVar[Method] = in_place(_ops.add)
    __isub__: ClassVar[Method] = in_place(_ops.subtract)
    __imul__: ClassVar[Method] = in_place(_ops.multiply)
    __itruediv__: ClassVar[Method] = in_place(_ops.divide)
    __ipow__: ClassVar[Method] = in_place(_ops.power)

    __eq__: ClassVar[Method] = binary(_ops.equal)  # type: ignore[assignment]  # elementwise
    __ne__: ClassVar[Method] = binary(_ops.not_equal)  # type: ignore[assignment]  # elementwise
    __lt__: ClassVar[Method] = binary(_ops.less)
    __le__: ClassVar[Method] = binary(_ops.less_equal)
    __gt__: ClassVar[Method] = binary(_ops.greater)
    __ge__: ClassVar[Method] = binary(_ops.greater_equal)

    def __hash__(self) -> int:
        return object.__hash__(self)

    def __neg__(self) -> "Tensor":
        return record(_ops.negative, self)

    def _update(self, result: "Tensor") -> "Tensor":
        """Take the result's array; where gradients flow, the result is a tensor of its own instead."""
        if result.requires_grad:
            return result
        if result.shape != self.shape:
            raise ValueError(f"an in-place update can't change the shape from {self.shape} to {result.shape}")
        if result.dtype != self.dtype and not self._backend.xp.isdtype(self.dtype, "real floating"):
            raise TypeError(f"{dtype_name(result.dtype)} values don't fit a {dtype_name(self.dtype)} tensor")
        self._data = _ops.like(self._backend.xp, result._data, self._data)
        return self

    # Shape and reductions

    def sum(self, axis: _ops.Axes = None, *, keepdims: bool = False) -> "Tensor":
        """Return the sum over all axes, or some.

        Parameters
        ----------
        axis : int or tuple of int, optional
            The axes to sum over.
        keepdims : bool
            Keep them with length 1.
        """
        return record(_ops.sum_, self, axis=axis, keepdims=keepdims)

    def mean(self, axis: _ops.Axes = None, *, keepdims: bool = False) -> "Tensor":
        """Return the mean, as `sum` does the sum; of integers and Booleans as float32, of nothing nan."""
        return record(_ops.mean, self, axis=axis, keepdims=keepdims)

    def reshape(self, *shape: int | Sequence[int]) -> "Tensor":
        """Return the same elements in another shape, in C order.

        Parameters
        ----------
        *shape : int
            The lengths of the axes, as ``reshape(2, 3)`` or as ``reshape((2, 3))``; one may be -1.
        """
        return record(_ops.reshape, self, shape=as_shape(shape))

    def __getitem__(self, key: Any) -> "Tensor":
        parts = [k._data if isinstance(k, Tensor) else k for k in (key if isinstance(key, tuple) else (key,))]
        index, may_repeat = as_key(parts, self._backend, self._data)
        if may_repeat and self.requires_grad and grad_enabled():
            raise TypeError(
                "indexing with an integer array has no gradient here; use slices or a mask, or index the "
                "tensor's .detach()"
            )
        return record(_ops.getitem, self, key=index)

    def astype(self, dtype: Any) -> "Tensor":
        """Return the same values in another dtype, such as ``"float64"``."""
        return record(_ops.astype, self, dtype=resolve_dtype(self._backend, dtype))

    # Functions

    def sigmoid(self) -> "Tensor":
        """Return 1 / (1 + exp(-self)); of integers and Booleans as float32."""
        return record(_ops.sigmoid, self)

    def relu(self) -> "Tensor":
        """Return max(self, 0)."""
        return record(_ops.relu, self)


def record(op: Op, *operands: "Tensor | float", **options: Any) -> Tensor:
    """Run an operation on tensors and Python numbers, and put it on the tape if a gradient may be wanted."""
    backend = next(operand._backend for operand in operands if isinstance(operand, Tensor))
    arrays: list[Any] = [operand._data if isinstance(operand, Tensor) else operand for operand in operands]
    result, pullbacks = op(backend.xp, *arrays, **options)
    nodes = [operand._node if isinstance(operand, Tensor) else None for operand in operands]
    if not pullbacks or not grad_enabled() or not any(nodes):
        return Tensor._wrap(result, backend)
    # the tape keeps what these closures hold, so there is none for an operand that needs no gradient
    ways = [
        None if node is None else (pull, _ops.Form(tuple(array.shape), array.dtype))
        for pull, array, node in zip(pullbacks, arrays, nodes, strict=True)
    ]

    def pullback(gradient: Any, _: Sequence[bool]) -> list[Any]:
        return [None if way is None else _ops.like(backend.xp, way[0](gradient), way[1]) for way in ways]

    return Tensor._wrap(result, backend, Node(nodes, pullback))


def unpickled(
    cls: type[Tensor], array: "NDArray[Any]", dtype: str, requires_grad: bool, backend: str
) -> Tensor:
    """Make a tensor again of what pickle has kept of it."""
    return cls(array, dtype=dtype, requires_grad=requires_grad, backend=backend)
