"""The arithmetic on host memory, for the backends of all libraries whose arrays NumPy can view.

It is no backend: it has no entry point, and nobody selects it. The NumPy backend is these kernels, and
PyTorch's CPU tensors go through them without a copy, so that both give the same bits.
"""

from lucid_host.kernels import BCE, BCE_WITH_LOGITS, HostKernel

__all__ = ["BCE", "BCE_WITH_LOGITS", "HostKernel"]
