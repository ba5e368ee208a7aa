"""PyTorch, as lucid sees it. CPU tensors go through `lucid_host`, others through the definition."""

from dataclasses import dataclass
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch
from numpy.typing import NDArray

from lucid.kernels import ArrayKernel, Logits, Probabilities, Residuals
from lucid.protocol import BackendInfo, Differentiable, Gradients, Kernel, LossSpec, Needs
from lucid.tiling import TiledKernel
from lucid_host import BCE, BCE_WITH_LOGITS, HostKernel
from lucid_torch import INFO
from lucid_torch.autograd import differentiable

__all__ = ["TorchBackend"]


@dataclass(frozen=True, slots=True)
class TorchKernel:
    """A loss on detached tensors of one device.

    CPU tensors are viewed as NumPy arrays; a device computes whole arrays, and never waits.
    """

    host: HostKernel
    definition: ArrayKernel

    @torch.no_grad()
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
        if not viewable(operands):
            return self.on(input).forward(spec, *operands, needs_grad=needs_grad)
        x, y = input.detach().numpy(), target.detach().numpy()
        loss, residuals = self.host.forward(
            spec, x, y, viewed(weight), viewed(pos_weight), needs_grad=needs_grad
        )
        return torch.from_numpy(loss), residuals

    @torch.no_grad()
    def backward(
        self, spec: LossSpec, residuals: Residuals, grad_output: torch.Tensor | None, needs: Needs
    ) -> Gradients[torch.Tensor]:
        """Compute the gradients; see `lucid.protocol.Kernel`."""
        input = residuals.operands[0]
        if isinstance(input, torch.Tensor):
            return self.on(input).backward(spec, residuals, grad_output, needs)
        gradients = self.host.backward(spec, residuals, viewed(grad_output), needs)
        first, second, third = (None if each is None else torch.from_numpy(each) for each in gradients)
        return first, second, third

    def on(self, input: torch.Tensor) -> ArrayKernel | TiledKernel:
        """Choose between blocks, on the host, and whole arrays, on a device."""
        return TiledKernel(self.definition) if input.device.type == "cpu" else self.definition


def viewable(operands: tuple[torch.Tensor | None, ...]) -> bool:
    """Whether NumPy can view all of them: it lacks bfloat16."""
    return all(
        each is None or (each.device.type == "cpu" and each.dtype != torch.bfloat16) for each in operands
    )


def viewed(tensor: torch.Tensor | None) -> NDArray[Any] | None:
    """View a CPU tensor as a NumPy array."""
    return None if tensor is None else tensor.detach().numpy()


class TorchBackend:
    """PyTorch, as lucid sees it."""

    info: BackendInfo = INFO
    xp: Any = xp
    bce: Kernel[torch.Tensor] = TorchKernel(BCE, ArrayKernel(xp, Probabilities()))
    bce_with_logits: Kernel[torch.Tensor] = TorchKernel(BCE_WITH_LOGITS, ArrayKernel(xp, Logits()))

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
            plain = np.ascontiguousarray(data, dtype=data.dtype.newbyteorder("="))
            tensor = torch.tensor(plain.reshape(data.shape))
            return tensor.to(device=None if like is None else like.device, dtype=dtype)
        if copy:
            return data.detach().to(dtype=dtype, copy=True)
        return data if dtype is None else data.to(dtype)

    def to_numpy(self, array: torch.Tensor) -> NDArray[Any]:
        """Bring it to the host, bfloat16 as float32."""
        tensor = array.detach()
        if tensor.dtype == torch.bfloat16:
            tensor = tensor.float()
        host: NDArray[Any] = tensor.cpu().resolve_conj().resolve_neg().numpy()
        return host

    def host_values(self, array: torch.Tensor) -> bool:
        """Say yes on the CPU, outside a compiler."""
        return array.device.type == "cpu" and not torch.compiler.is_compiling()

    def differentiable(self, kernel: Kernel[torch.Tensor]) -> Differentiable[torch.Tensor]:
        """Hook a kernel into torch.autograd."""
        return differentiable(kernel)
