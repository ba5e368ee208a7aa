"""NumPy: the arithmetic on the host."""

from dataclasses import dataclass
from typing import Any, TypeAlias, overload

import array_api_compat.numpy as xp
import numpy as np
from numpy.typing import NDArray

from lucid.kernels import ArrayKernel, Logits, Probabilities, Residuals, forward_only
from lucid.protocol import BackendInfo, Differentiable, Gradients, Kernel, LossSpec, Needs
from lucid.tiling import TiledKernel
from lucid_numpy import INFO

__all__ = ["NumpyBackend"]

Array: TypeAlias = NDArray[Any]


@dataclass(frozen=True, slots=True)
class NumpyKernel:
    """A loss on NumPy arrays, silent about the infinities and nans that are its result."""

    tiled: TiledKernel

    def forward(
        self,
        spec: LossSpec,
        input: Array,
        target: Array,
        weight: Array | None,
        pos_weight: Array | None,
        *,
        needs_grad: bool,
    ) -> tuple[Array, Residuals]:
        """Compute the loss; see `lucid.protocol.Kernel`."""
        with np.errstate(all="ignore"):
            loss, residuals = self.tiled.forward(
                spec, input, target, weight, pos_weight, needs_grad=needs_grad
            )
        return native(loss), residuals

    def backward(
        self, spec: LossSpec, residuals: Residuals, grad_output: Array | None, needs: Needs
    ) -> Gradients[Array]:
        """Compute the gradients; see `lucid.protocol.Kernel`."""
        with np.errstate(all="ignore"):
            first, second, third = self.tiled.backward(spec, residuals, grad_output, needs)
        return native(first), native(second), native(third)


@overload
def native(array: Array) -> Array: ...
@overload
def native(array: None) -> None: ...
def native(array: Array | None) -> Array | None:
    """Give the result of a byte-swapped input this machine's byte order."""
    return None if array is None else array.astype(array.dtype.newbyteorder("="), copy=False)


class NumpyBackend:
    """NumPy, as lucid sees it."""

    info: BackendInfo = INFO
    xp: Any = xp
    bce: Kernel[Array] = NumpyKernel(TiledKernel(ArrayKernel(xp, Probabilities())))
    bce_with_logits: Kernel[Array] = NumpyKernel(TiledKernel(ArrayKernel(xp, Logits())))

    def asarray(
        self, data: Array, *, dtype: Any = None, like: Array | None = None, copy: bool | None = None
    ) -> Array:
        """Take NumPy arrays of numbers, of any layout; see `lucid.protocol.Backend`."""
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
