"""From the arguments of a loss to one call of a kernel, and back: the thin front end of every loss.

It finds the backend, checks and broadcasts the operands, calls the kernel, looks for bad values where they
can be looked at, and gives the result back as what the user works with.
"""

from collections.abc import Sequence
from math import isnan
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from lucid._autograd import Node, grad_enabled
from lucid._convert import host_array, is_numpy_scalar
from lucid._ops import Form, like
from lucid._selection import backend_of, common_backend, get_backend
from lucid._tensor import Tensor
from lucid.errors import MixedBackendError
from lucid.nn import _checks
from lucid.protocol import Backend, Kernel, LossSpec, Needs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["evaluate", "value_and_grad"]

KernelName: TypeAlias = Literal["bce", "bce_with_logits"]
Kind: TypeAlias = Literal["tensor", "array", "python"]


class Call(NamedTuple):
    """Operands that a kernel can take, whose they are, and what the user works with."""

    backend: Backend[Any]
    kernel: Kernel[Any]
    kind: Kind
    arrays: tuple[Any, Any, Any, Any]
    nodes: tuple[Any, Any, Any]


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
    call = prepare(kernel, spec, input, target, weight, pos_weight)
    if call.kind == "tensor":
        needed = Needs(*(grad_enabled() and node is not None for node in call.nodes))
        loss, residuals = call.kernel.forward(spec, *call.arrays, needs_grad=any(needed))
    else:
        loss = call.backend.differentiable(call.kernel)(spec, *call.arrays)
    check_values(call, kernel, spec, loss, validate)
    if call.kind != "tensor":
        return given_back(call, loss)
    if not any(needed):
        return Tensor._wrap(loss, call.backend)

    def pullback(gradient: Any, needs: Sequence[bool]) -> tuple[Any, Any, Any]:
        return call.kernel.backward(spec, residuals, gradient, Needs(*needs))

    inputs = [node if want else None for node, want in zip(call.nodes, needed, strict=True)]
    return Tensor._wrap(loss, call.backend, Node(inputs, pullback))


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
    call = prepare(kernel, spec, input, target, weight, pos_weight)
    in_one_pass = getattr(call.kernel, "value_and_grad", None)
    if in_one_pass is None:
        loss, residuals = call.kernel.forward(spec, *call.arrays, needs_grad=True)
        needs = Needs(input=True, target=False, weight=False)
        gradient = call.kernel.backward(spec, residuals, None, needs)[0]
    else:
        loss, gradient = in_one_pass(spec, *call.arrays)
    check_values(call, kernel, spec, loss, validate)
    return given_back(call, loss), given_back(call, gradient)


def prepare(
    kernel: KernelName, spec: LossSpec, input: Any, target: Any, weight: Any, pos_weight: Any
) -> Call:
    """Bring the operands to one backend and one shape, or say what keeps them from it."""
    operands = {"input": input, "target": target, "weight": weight, "pos_weight": pos_weight}
    kind, backend, own = whose(operands)
    arrays = as_arrays(operands, backend, own)
    shape, xp = tuple(arrays["input"].shape), backend.xp
    if not xp.isdtype(arrays["input"].dtype, "real floating"):
        raise TypeError(_checks.not_floating(arrays["input"].dtype, kernel))
    _checks.same_shape(shape, tuple(arrays["target"].shape))
    nodes: list[Any] = [value._node if isinstance(value, Tensor) else None for value in operands.values()]
    for place, name in ((2, "weight"), (3, "pos_weight")):
        array = arrays[name]
        if array is None or (array.ndim == len(shape) and tuple(array.shape) == shape):
            continue  # the lengths first: a compiler would take note of sizes that happen to differ
        _checks.fits(name, tuple(array.shape), shape)
        arrays[name] = xp.broadcast_to(array, shape)
        if nodes[place] is not None:
            nodes[place] = unbroadcast(nodes[place], array, xp)
    if nodes[3] is not None or getattr(arrays["pos_weight"], "requires_grad", False):
        raise ValueError("no gradient flows to pos_weight; pass pos_weight.detach()")
    ordered = (arrays["input"], arrays["target"], arrays["weight"], arrays["pos_weight"])
    return Call(backend, getattr(backend, kernel), kind, ordered, (nodes[0], nodes[1], nodes[2]))


def unbroadcast(node: Any, array: Any, xp: Any) -> Node:
    """Put the broadcasting of a weight on the tape, so that its gradient has its own shape."""
    form = Form(tuple(array.shape), array.dtype)
    return Node([node], lambda gradient, _: [like(xp, gradient, form)])


def whose(operands: "Mapping[str, Any]") -> tuple[Kind, Backend[Any], dict[str, Any]]:
    """Find the kind of the result, the backend that the operands share, and those that are its arrays."""
    found: dict[str, Backend[Any]] = {}
    own: dict[str, Any] = {}
    known: dict[type, Backend[Any] | None] = {}  # the operands are often of one class
    kind: Kind = "python"
    for name, value in operands.items():
        if isinstance(value, Tensor):
            found[name], own[name], kind = value._backend, value._data, "tensor"
        elif value is not None:
            cls = type(value)
            if cls not in known:
                known[cls] = backend_of(value)
            if (backend := known[cls]) is not None:
                found[name], own[name] = backend, backend.asarray(value)
                kind = "array" if kind == "python" else kind
    try:
        return kind, common_backend(found) or get_backend(), own
    except MixedBackendError:
        for name in [name for name in found if is_numpy_scalar(operands[name])]:
            del found[name], own[name]  # beside another library's arrays it is a number
        return kind, common_backend(found) or get_backend(), own


def as_arrays(operands: "Mapping[str, Any]", backend: Backend[Any], own: dict[str, Any]) -> dict[str, Any]:
    """Convert numbers and lists to the dtype and device of what is an array already."""
    arrays = {name: own.get(name) for name in operands}
    for name, value in operands.items():
        if arrays[name] is not None or (value is None and "weight" in name):  # which may be absent
            continue
        host, dtype = host_array(value), None
        if name == "input" and not hasattr(value, "dtype"):  # Python numbers take the others' precision
            dtypes = (array.dtype for array in own.values())
            floating = (each for each in dtypes if backend.xp.isdtype(each, "real floating"))
            dtype = next(floating, backend.xp.float64)
        arrays[name] = backend.asarray(host, dtype=dtype, like=next(iter(own.values()), None))
    return arrays


def check_values(call: Call, kernel: KernelName, spec: LossSpec, loss: Any, validate: bool | None) -> None:
    """Look for the cause of a nan: out of range is an error, nan in is nan out.

    A kernel gives nan for whatever is out of range. So what costs nothing, one look at the result, comes
    first, and the operands are searched only after a nan.
    """
    if validate is False or not (validate or call.backend.host_values(loss)):
        return
    if 0 in loss.shape:
        return
    largest = call.backend.xp.max(loss) if loss.ndim else loss  # nan if any is
    if not isnan(float(call.backend.to_numpy(largest))):
        return
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
