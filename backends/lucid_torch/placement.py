"""Where tensors are, and what may be done with them there."""

from typing import Any, Final, TypeAlias

import torch
from numpy.typing import NDArray
from torch.autograd import forward_ad

__all__ = ["Operands", "check_kind", "on_host", "ordinary", "same_device", "tensor_of", "viewed", "views"]

Operands: TypeAlias = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None, torch.Tensor | None]
"""Input, target, weight and pos_weight."""

Views: TypeAlias = tuple[NDArray[Any], NDArray[Any], NDArray[Any] | None, NDArray[Any] | None]

PLAIN: Final = frozenset({torch.Tensor, torch.nn.Parameter})
"""The classes whose instances are memory and nothing more; for others only PyTorch's operations will do."""


def ordinary() -> bool:
    """Whether operations are only executed: nothing traces, transforms or intercepts them."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch._C._len_torch_dispatch_stack()
        or forward_ad._current_level >= 0
        or torch._C._is_tracing()  # what torch.jit.is_tracing asks, three calls later
    )


def on_host(*tensors: torch.Tensor | None) -> bool:
    """Whether all of them are memory that NumPy can view, or a copy of it."""
    for each in tensors:
        if each is not None and not (each.is_cpu and type(each) in PLAIN):
            return False
    return ordinary()


def check_kind(tensor: torch.Tensor) -> None:
    """Raise unless it holds real numbers, all of them, and each of them counts."""
    if tensor.dtype.is_complex:
        raise TypeError(f"expected a tensor of real numbers, not of dtype {tensor.dtype}")
    if tensor.layout is not torch.strided:
        raise TypeError(f"expected a dense tensor, not one of layout {tensor.layout}; pass .to_dense()")
    if type(tensor) not in PLAIN and isinstance(tensor, torch.masked.MaskedTensor):
        raise TypeError(
            "a masked tensor's mask would be lost; pass .to_tensor(value) as the target with that value as "
            "ignore_index"
        )


def same_device(operands: Operands) -> None:
    """Raise unless the operands are on the input's device."""
    device = operands[0].device
    for name, each in zip(("target", "weight", "pos_weight"), operands[1:], strict=True):
        if each is not None and each.device != device:
            raise ValueError(
                f"input is on {device} and {name} on {each.device}; nothing is copied between devices "
                f"silently: pass {name}.to({str(device)!r})"
            )


def viewed(tensor: torch.Tensor) -> NDArray[Any]:
    """Make it a NumPy array, on the CPU without a copy; bfloat16, which NumPy lacks, becomes float32."""
    wide = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    array: NDArray[Any] = wide.numpy(force=True)  # off its graph
    return array


def views(operands: Operands) -> Views:
    """View all operands that there are."""
    input, target, weight, pos_weight = operands
    return (
        viewed(input),
        viewed(target),
        None if weight is None else viewed(weight),
        None if pos_weight is None else viewed(pos_weight),
    )


def tensor_of(array: NDArray[Any], input: torch.Tensor) -> torch.Tensor:
    """Make a result a tensor of the input's dtype."""
    result = torch.from_numpy(array)
    return result.bfloat16() if input.dtype == torch.bfloat16 else result
