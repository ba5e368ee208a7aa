"""From the arguments of a loss to one call of a kernel, and back: the thin front end of every loss.

It finds the backend, checks and broadcasts the operands, calls the kernel, looks for bad values where they
can be looked at, and gives the result back as what the user works with.
"""

from collections.abc import Sequence
from math import isnan
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from lucid._autograd import Node, grad_enabled
from lucid._convert import host_array, is_numpy_scalar
from lucid._ops import Form, like
from lucid._selection import backend_of, get_backend, require_same
from lucid._tensor import Tensor
from lucid.errors import MixedBackendError
from lucid.nn import _checks
from lucid.protocol import Backend, Kernel, LossSpec, Needs

__all__ = ["Call", "KernelName", "complain", "evaluate", "may_look", "prepare", "value_and_grad"]

KernelName: TypeAlias = Literal["bce", "bce_with_logits"]
Kind: TypeAlias = Literal["tensor", "array", "python"]
Operands: TypeAlias = tuple[Any, Any, Any, Any]
"""One thing each for input, target, weight and pos_weight."""

NAMES: Final = ("input", "target", "weight", "pos_weight")
NOTHING: Final[Operands] = (None, None, None, None)


class Call(NamedTuple):
    """Operands that a kernel can take, whose they are, and what the user works with."""

    backend: Backend[Any]
    kernel: Kernel[Any]
    kind: Kind
    arrays: Operands
    nodes: Operands


def evaluate(
    kernel: KernelName,
    spec: LossSpec,
    input: Any,
    target: Any,
    weight: Any = None,
    pos_weight: Any = None,
    validate: bool | None = None,
) -> Any:
    """Compute a loss, differentiably: on lucid's tape for tensors, on the library's own for its arrays."""
    call = prepare(kernel, spec, (input, target, weight, pos_weight))
    if call.kind == "tensor":
        return recorded(call, kernel, spec, validate)
    loss = call.backend.differentiable(call.kernel)(spec, *call.arrays)
    check_values(call, kernel, spec, loss, validate)
    return given_back(call, loss)


def recorded(call: Call, kernel: KernelName, spec: LossSpec, validate: bool | None) -> Tensor:
    """Compute the loss of tensors, and put it on the tape if a gradient may be asked for."""
    input, target, weight, _ = call.nodes if grad_enabled() else NOTHING
    needed = Needs(input is not None, target is not None, weight is not None)
    loss, residuals = call.kernel.forward(spec, *call.arrays, needs_grad=any(needed))
    check_values(call, kernel, spec, loss, validate)
    if not any(needed):
        return Tensor._wrap(loss, call.backend)

    def pullback(gradient: Any, needs: Sequence[bool]) -> tuple[Any, Any, Any]:
        return call.kernel.backward(spec, residuals, gradient, Needs(*needs))

    return Tensor._wrap(loss, call.backend, Node((input, target, weight), pullback))


def value_and_grad(
    kernel: KernelName,
    spec: LossSpec,
    input: Any,
    target: Any,
    weight: Any = None,
    pos_weight: Any = None,
    validate: bool | None = None,
) -> tuple[Any, Any]:
    """Compute a loss and the gradient of its sum with respect to the input, without any autograd."""
    call = prepare(kernel, spec, (input, target, weight, pos_weight))
    in_one_pass = getattr(call.kernel, "value_and_grad", None)
    if in_one_pass is None:
        loss, residuals = call.kernel.forward(spec, *call.arrays, needs_grad=True)
        needs = Needs(input=True, target=False, weight=False)
        gradient = call.kernel.backward(spec, residuals, None, needs)[0]
    else:
        loss, gradient = in_one_pass(spec, *call.arrays)
    check_values(call, kernel, spec, loss, validate)
    return given_back(call, loss), given_back(call, gradient)


def prepare(kernel: KernelName, spec: LossSpec, operands: Operands) -> Call:
    """Bring the operands to one backend and one shape, or say what keeps them from it."""
    kind, backend, arrays = whose(operands)
    for place, value in enumerate(operands):
        if arrays[place] is None and (value is not None or place < 2):  # weights may be absent
            arrays[place] = brought_in(value, place, backend, arrays)
    input, target, weight, pos_weight = arrays
    if not is_floating(input.dtype, backend.xp):
        raise TypeError(_checks.not_floating(input.dtype, kernel))
    if input.shape != target.shape:
        raise ValueError(_checks.unequal(tuple(input.shape), tuple(target.shape)))
    nodes = NOTHING if kind != "tensor" else nodes_of(operands)
    if weight is not None or pos_weight is not None:
        weight, pos_weight, nodes = fitted(arrays, nodes, backend.xp)
    return Call(backend, getattr(backend, kernel), kind, (input, target, weight, pos_weight), nodes)


def whose(operands: Operands) -> tuple[Kind, Backend[Any], list[Any]]:
    """Find the kind of the result, the backend that the operands share, and those that are its arrays."""
    try:
        return owned(operands)
    except MixedBackendError:  # beside another library's arrays a scalar of NumPy's is a number
        one, two, three, four = (None if is_numpy_scalar(value) else value for value in operands)
        return owned((one, two, three, four))


def owned(operands: Operands) -> tuple[Kind, Backend[Any], list[Any]]:
    """Do it for operands that are of one library, or of none."""
    kind: Kind = "python"
    first: tuple[str, Backend[Any]] | None = None
    arrays: list[Any] = [None, None, None, None]
    cls = owner = None  # of the operand before: they are often of one class
    for place, value in enumerate(operands):
        if value is None:
            continue
        if isinstance(value, Tensor):
            found, arrays[place], kind = value._backend, value._data, "tensor"
        else:
            if type(value) is not cls:
                cls, owner = type(value), backend_of(value)
            if owner is None:
                continue
            found, arrays[place] = owner, owner.asarray(value)
            kind = "array" if kind == "python" else kind
        if first is None:
            first = NAMES[place], found
        else:
            require_same(*first, NAMES[place], found)
    return kind, get_backend() if first is None else first[1], arrays


def brought_in(value: Any, place: int, backend: Backend[Any], arrays: list[Any]) -> Any:
    """Convert a number or list to the dtype and device of what is an array already."""
    host, dtype = host_array(value), None
    own = [array for array in arrays if array is not None]
    if place == 0 and not hasattr(value, "dtype"):  # Python numbers take the others' precision
        floating = (array.dtype for array in own if is_floating(array.dtype, backend.xp))
        dtype = next(floating, backend.xp.float64)
    return backend.asarray(host, dtype=dtype, like=own[0] if own else None)


def is_floating(dtype: Any, xp: Any) -> bool:
    """Tell the usual ones at once: `isdtype` of NumPy takes a microsecond."""
    return dtype in (xp.float32, xp.float64) or xp.isdtype(dtype, "real floating")


def nodes_of(operands: Operands) -> Operands:
    """Take the places on the tape of what is there."""
    one, two, three, four = (value._node if isinstance(value, Tensor) else None for value in operands)
    return one, two, three, four


def fitted(arrays: list[Any], nodes: Operands, xp: Any) -> tuple[Any, Any, Operands]:
    """Broadcast weight and pos_weight, on the tape too, so that a gradient has its weight's own shape."""
    shape, weight, pos_weight = tuple(arrays[0].shape), *arrays[2:]
    if nodes[3] is not None or getattr(pos_weight, "requires_grad", False):
        raise ValueError("no gradient flows to pos_weight; pass pos_weight.detach()")
    by_weight = nodes[2]
    if by_weight is not None and tuple(weight.shape) != shape:
        by_weight = unbroadcast(by_weight, weight, xp)
    fit = [broadcast(name, array, shape, xp) for name, array in zip(NAMES[2:], arrays[2:], strict=True)]
    return fit[0], fit[1], (*nodes[:2], by_weight, None)


def broadcast(name: str, weight: Any, shape: tuple[int, ...], xp: Any) -> Any:
    """Give a weight, if there is one, the input's shape."""
    if weight is None or (weight.ndim == len(shape) and tuple(weight.shape) == shape):
        return weight  # the lengths first: a compiler would take note of sizes that happen to differ
    _checks.fits(name, tuple(weight.shape), shape)
    return xp.broadcast_to(weight, shape)


def unbroadcast(node: Any, array: Any, xp: Any) -> Node:
    """Put the broadcasting of a weight on the tape."""
    form = Form(tuple(array.shape), array.dtype)
    return Node([node], lambda gradient, _: [like(xp, gradient, form)])


def check_values(call: Call, kernel: KernelName, spec: LossSpec, loss: Any, validate: bool | None) -> None:
    """Look for the cause of a nan: out of range is an error, nan in is nan out.

    A kernel gives nan for whatever is out of range. So what costs nothing, one look at the result, comes
    first, and the operands are searched only after a nan.
    """
    if not may_look(call, loss, validate) or 0 in loss.shape:
        return
    largest = call.backend.xp.max(loss) if loss.ndim else loss  # nan if any is
    if isnan(float(call.backend.to_numpy(largest))):
        complain(call, kernel, spec)


def may_look(call: Call, array: Any, validate: bool | None) -> bool:
    """Whether values may be looked at, to name a bad one."""
    return validate is not False and (bool(validate) or call.backend.host_values(array))


def complain(call: Call, kernel: KernelName, spec: LossSpec) -> None:
    """Search the operands of a loss that is nan, and raise on the first value out of range, if any is."""
    input, target = (call.backend.to_numpy(array) for array in call.arrays[:2])
    kept = None if spec.ignore_index is None else target != spec.ignore_index
    _checks.in_range("target", target, kept, logits=False)
    if kernel == "bce":
        _checks.in_range("input", input, kept, logits=True)


def given_back(call: Call, array: Any) -> Any:
    """Return an array as what the operands were: a tensor, an array, or Python numbers."""
    if call.kind == "tensor":
        return Tensor._wrap(array, call.backend)
    return array if call.kind == "array" else call.backend.to_numpy(array).tolist()
