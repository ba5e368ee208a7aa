"""PyTorch, as lucid sees it: on the host by `lucid_host`, everywhere else by `lucid_torch.formulas`."""

from dataclasses import dataclass
from typing import Any, Final, cast

import array_api_compat.torch as xp
import numpy as np
import torch
from numpy.typing import NDArray

import lucid_host
from lucid.kernels import Residuals
from lucid.protocol import BackendInfo, Differentiable, Gradients, Kernel, LossSpec, Needs
from lucid_torch import INFO, formulas
from lucid_torch.autograd import HostLoss, TransformedLoss
from lucid_torch.formulas import DefinedKernel
from lucid_torch.placement import check_kind, on_host, same_device, tensor_of, viewed, views

__all__ = ["TorchBackend"]

NARROW: Final = frozenset({torch.float16, torch.bfloat16})


@dataclass(frozen=True, slots=True)
class TorchKernel:
    """A loss on tensors of one device.

    CPU tensors are viewed as NumPy arrays; all others are left to PyTorch's operations.

    Parameters
    ----------
    host : Kernel
        What computes on NumPy arrays.
    definition : DefinedKernel
        What computes on everything else.
    """

    host: Kernel[NDArray[Any]]
    definition: DefinedKernel

    def forward(
        self,
        spec: LossSpec,
        input: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None,
        pos_weight: torch.Tensor | None,
        *,
        needs_grad: bool,
    ) -> tuple[torch.Tensor, Residuals]:
        """Compute the loss; see `lucid.protocol.Kernel`."""
        operands = (input, target, weight, pos_weight)
        if not on_host(*operands):
            same_device(operands)
            with torch.no_grad():
                loss, _ = self.definition.forward(spec, *operands, needs_grad=needs_grad)
            return loss, Residuals(operands, None, None)
        found, residuals = self.host.forward(spec, *views(operands), needs_grad=needs_grad)
        return tensor_of(found, input), residuals._replace(operands=operands)

    def backward(
        self, spec: LossSpec, residuals: Residuals, grad_output: torch.Tensor | None, needs: Needs
    ) -> Gradients[torch.Tensor]:
        """Compute the gradients; see `lucid.protocol.Kernel`."""
        operands = residuals.operands
        if not on_host(*operands, grad_output):
            with torch.no_grad():
                return self.definition.backward(spec, operands, grad_output, needs)
        upstream = None if grad_output is None else viewed(grad_output)
        gradients = self.host.backward(spec, residuals._replace(operands=views(operands)), upstream, needs)
        first, second, third = (None if each is None else tensor_of(each, operands[0]) for each in gradients)
        return first, second, third

    def loss(
        self,
        spec: LossSpec,
        input: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None,
        pos_weight: torch.Tensor | None,
    ) -> torch.Tensor:
        """Compute the loss on PyTorch's graph, in the way that fits what PyTorch is doing."""
        input = autocast(input)
        operands = (input, target, weight, pos_weight)
        if not on_host(*operands):
            same_device(operands)
            if torch.compiler.is_compiling():  # compilers differentiate what they trace, in all modes
                return self.definition.forward(spec, *operands, needs_grad=True)[0]
            return TransformedLoss.apply(self.definition, spec, *operands)
        if torch.is_grad_enabled() and (
            input.requires_grad or target.requires_grad or (weight is not None and weight.requires_grad)
        ):
            return HostLoss.apply(self.host, self.definition, spec, *operands)
        return tensor_of(self.host.forward(spec, *views(operands), needs_grad=False)[0], input)


def autocast(input: torch.Tensor) -> torch.Tensor:
    """Compute in float32 under `torch.autocast`, as PyTorch does for its losses on the CPU."""
    narrow = input.dtype in NARROW
    return input.float() if narrow and torch.is_autocast_enabled(input.device.type) else input


class TorchBackend:
    """PyTorch, as lucid sees it."""

    info: BackendInfo = INFO
    xp: Any = xp
    bce: Kernel[torch.Tensor] = TorchKernel(lucid_host.BCE, formulas.BCE)
    bce_with_logits: Kernel[torch.Tensor] = TorchKernel(lucid_host.BCE_WITH_LOGITS, formulas.BCE_WITH_LOGITS)

    @property
    def description(self) -> str:
        """The version, and where new tensors go."""
        return f"PyTorch {torch.__version__} on {torch.get_default_device()}"

    def asarray(
        self,
        data: torch.Tensor | NDArray[Any],
        *,
        dtype: Any = None,
        like: torch.Tensor | None = None,
        copy: bool | None = None,
    ) -> torch.Tensor:
        """Take tensors, on their graph unless copied, and NumPy arrays; see `lucid.protocol.Backend`."""
        if isinstance(data, np.ndarray):
            device = None if like is None else like.device
            if torch.compiler.is_compiling():  # NumPy's arrays are tensors there
                return torch.as_tensor(data, device=device, dtype=dtype)
            plain = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
            made = torch.tensor(plain.reshape(data.shape))
            if dtype is None and device is not None and device.type == "mps" and made.dtype == torch.float64:
                dtype = torch.float32  # the widest that Apple's GPUs have
            if made.ndim == 0 and like is not None:  # of the kind of `like`, which may be distributed
                return like.new_full((), made.item(), dtype=dtype or made.dtype)
            return made.to(device=device, dtype=dtype)
        check_kind(data)
        if copy:
            return data.detach().to(dtype=dtype, copy=True)
        return data if dtype is None else data.to(dtype)

    def to_numpy(self, array: torch.Tensor) -> NDArray[Any]:
        """Bring it to the host, bfloat16 as float32."""
        return viewed(array)

    def host_values(self, array: torch.Tensor) -> bool:
        """Say yes on the CPU, unless a compiler or a transform is at work."""
        return on_host(array)

    def differentiable(self, kernel: Kernel[torch.Tensor]) -> Differentiable[torch.Tensor]:
        """Hook a kernel into torch.autograd."""
        return cast("TorchKernel", kernel).loss
