"""The arithmetic on host memory, for the backends of all libraries whose arrays NumPy can view.

It is no backend: it has no entry point, and nobody selects it. The NumPy backend is these kernels, and
PyTorch's CPU tensors go through them without a copy, so that both give the same bits.

The kernels are compiled (`lucid_host.native`), or, where the extension could not be built or the processor is
too old for it, made of NumPy's operations (`lucid_host.kernels`).
"""

from typing import Any

from numpy.typing import NDArray

from lucid.protocol import Kernel
from lucid_host import kernels

__all__ = ["BCE", "BCE_WITH_LOGITS", "INSTRUCTIONS"]

BCE: Kernel[NDArray[Any]] = kernels.BCE
BCE_WITH_LOGITS: Kernel[NDArray[Any]] = kernels.BCE_WITH_LOGITS
INSTRUCTIONS: str | None = None
"""What the kernels are compiled for, if they are."""

try:
    from lucid_host._native import instructions
    from lucid_host.native import NativeKernel
except ImportError:  # NumPy's operations do it
    pass
else:
    BCE = NativeKernel(False, kernels.BCE)
    BCE_WITH_LOGITS = NativeKernel(True, kernels.BCE_WITH_LOGITS)
    INSTRUCTIONS = instructions
