"""PyTorch: the arithmetic on whatever device a tensor is on, block by block where that is the host."""

from dataclasses import dataclass
from typing import Any

import array_api_compat.torch as xp
import numpy as np
import torch
from numpy.typing import NDArray

from lucid.kernels import ArrayKernel, Formulas, Logits, Probabilities, Residuals
from lucid.protocol import BackendInfo, Differentiable, Gradients, Kernel, LossSpec, Needs
from lucid.tiling import TiledKernel
from lucid_torch import INFO
from lucid_torch.autograd import differentiable

__all__ = ["TorchBackend"]


@dataclass(frozen=True, slots=True)
class TorchKernel:
    """A loss on detached tensors of one device; a device computes whole arrays, and never waits."""

    whole: ArrayKernel
    tiled: TiledKernel

    @classmethod
    def of(cls, formulas: Formulas) -> "TorchKernel":
        """Make the kernel of some formulas."""
        whole = ArrayKernel(xp, formulas)
        return cls(whole, TiledKernel(whole))

    def on(self, tensor: torch.Tensor) -> ArrayKernel | TiledKernel:
        """Choose by the tensor's device."""
        return self.tiled if tensor.device.type == "cpu" else self.whole

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
        kernel = self.on(input)
        return kernel.forward(spec, input, target, weight, pos_weight, needs_grad=needs_grad)

    @torch.no_grad()
    def backward(
        self, spec: LossSpec, residuals: Residuals, grad_output: torch.Tensor | None, needs: Needs
    ) -> Gradients[torch.Tensor]:
        """Compute the gradients; see `lucid.protocol.Kernel`."""
        return self.on(residuals.operands[0]).backward(spec, residuals, grad_output, needs)


class TorchBackend:
    """PyTorch, as lucid sees it."""

    info: BackendInfo = INFO
    xp: Any = xp
    bce: Kernel[torch.Tensor] = TorchKernel.of(Probabilities())
    bce_with_logits: Kernel[torch.Tensor] = TorchKernel.of(Logits())

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
