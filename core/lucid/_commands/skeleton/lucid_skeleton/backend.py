"""skeleton, as lucid sees it."""

from typing import Any, TypeAlias

import array_api_compat.numpy as xp  # HERE: your library's array-API namespace
import numpy as np
from numpy.typing import NDArray

from lucid.kernels import ArrayKernel, Logits, Probabilities, forward_only
from lucid.protocol import BackendInfo, Differentiable, Kernel
from lucid_skeleton import INFO

__all__ = ["SkeletonBackend"]

Array: TypeAlias = NDArray[Any]  # HERE: your array class


class QuietKernel(ArrayKernel):
    """A loss, without NumPy's warnings of infinities that are the result. HERE: others may not need it."""

    forward = np.errstate(all="ignore")(ArrayKernel.forward)
    backward = np.errstate(all="ignore")(ArrayKernel.backward)


class SkeletonBackend:
    """skeleton, as lucid sees it; see `lucid.protocol.Backend`."""

    info: BackendInfo = INFO
    xp: Any = xp
    bce: Kernel[Array] = QuietKernel(xp, Probabilities())
    bce_with_logits: Kernel[Array] = QuietKernel(xp, Logits())

    def asarray(
        self, data: Array, *, dtype: Any = None, like: Array | None = None, copy: bool | None = None
    ) -> Array:
        """Take the library's own arrays as they are, and NumPy's to the device of `like`."""
        return np.array(data, dtype=dtype, copy=copy)

    def to_numpy(self, array: Array) -> Array:
        """Bring an array to the host."""
        return array

    def host_values(self, array: Array) -> bool:
        """Say whether its values can be looked at without stalling a device or breaking a trace."""
        return True

    def differentiable(self, kernel: Kernel[Array]) -> Differentiable[Array]:
        """Hook a kernel into the library's autograd. HERE: NumPy has none."""
        return forward_only(kernel)
