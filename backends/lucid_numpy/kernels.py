"""NumPy, as lucid sees it. The arithmetic is in `lucid_host`."""

from typing import Any, TypeAlias

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import NDArray

from lucid.kernels import forward_only
from lucid.protocol import BackendInfo, Differentiable, Kernel
from lucid_host import BCE, BCE_WITH_LOGITS, INSTRUCTIONS
from lucid_numpy import INFO

__all__ = ["NumpyBackend"]

Array: TypeAlias = NDArray[Any]


class NumpyBackend:
    """NumPy, as lucid sees it."""

    info: BackendInfo = INFO
    description: str = f"NumPy {np.__version__}, " + (
        f"kernels compiled for {INSTRUCTIONS}" if INSTRUCTIONS else "kernels of its own operations"
    )
    xp: Any = xp
    bce: Kernel[Array] = BCE
    bce_with_logits: Kernel[Array] = BCE_WITH_LOGITS

    def asarray(
        self, data: Array, *, dtype: Any = None, like: Array | None = None, copy: bool | None = None
    ) -> Array:
        """Take NumPy arrays of numbers, of any layout; see `lucid.protocol.Backend`."""
        if type(data) is np.ndarray and dtype is None and not copy and data.dtype.kind in "biuf":
            return data  # as nearly all are
        if isinstance(data, np.ma.MaskedArray):
            raise TypeError(
                "a masked array's mask would be lost; pass .filled(...) as the target with that value as "
                "ignore_index, or .compressed() arrays"
            )
        array = np.array(data, dtype=dtype, copy=copy)
        if array.dtype.kind not in "biuf":
            raise TypeError(f"expected an array of real numbers, not of dtype {array.dtype}")
        return array

    def to_numpy(self, array: Array) -> Array:
        """Return it as it is."""
        return array

    def host_values(self, array: Array) -> bool:
        """Say yes: it is on the host."""
        return True

    def differentiable(self, kernel: Kernel[Array]) -> Differentiable[Array]:
        """Compute only the loss: NumPy has no autograd."""
        return forward_only(kernel)
