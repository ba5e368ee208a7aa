"""JAX, as lucid sees it."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from numpy.typing import NDArray

from lucid.protocol import BackendInfo, Differentiable, Kernel, LossSpec, Needs
from lucid_jax import INFO
from lucid_jax.kernels import BCE, BCE_WITH_LOGITS

__all__ = ["JaxBackend"]


class JaxBackend:
    """JAX, as lucid sees it."""

    info: BackendInfo = INFO
    xp: Any = jnp
    bce: Kernel[Array] = BCE
    bce_with_logits: Kernel[Array] = BCE_WITH_LOGITS

    def asarray(
        self,
        data: Array | NDArray[Any],
        *,
        dtype: Any = None,
        like: Array | None = None,
        copy: bool | None = None,
    ) -> Array:
        """Take JAX's arrays and tracers, and NumPy arrays; see `lucid.protocol.Backend`."""
        if isinstance(data, np.ndarray):  # converted by NumPy, which keeps subnormal numbers
            array = jnp.array(data if dtype is None else data.astype(dtype, copy=False), dtype=dtype)
            return array if like is None or traced(like) else jax.device_put(array, like.device)
        if copy:
            data = jax.lax.stop_gradient(jnp.array(data, copy=True))
        return data if dtype is None else data.astype(dtype)

    def to_numpy(self, array: Array) -> NDArray[Any]:
        """Bring it to the host, bfloat16 as float32."""
        return np.asarray(array, dtype=np.float32 if array.dtype == jnp.bfloat16 else None)

    def host_values(self, array: Array) -> bool:
        """Say yes on the CPU, outside jit, grad and vmap."""
        return not traced(array) and all(device.platform == "cpu" for device in array.devices())

    def differentiable(self, kernel: Kernel[Array]) -> Differentiable[Array]:
        """Hook a kernel into jax.grad."""
        return partial(loss, kernel)


def traced(array: Array) -> bool:
    """Whether it only stands for an array."""
    return isinstance(array, jax.core.Tracer)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def loss(
    kernel: Kernel[Array],
    spec: LossSpec,
    input: Array,
    target: Array,
    weight: Array | None,
    pos_weight: Array | None,
) -> Array:
    """Compute a loss."""
    return kernel.forward(spec, input, target, weight, pos_weight, needs_grad=False)[0]


def loss_forward(kernel: Kernel[Array], spec: LossSpec, *operands: Any) -> tuple[Array, Any]:
    """Compute a loss, and keep what its gradients want."""
    value, residuals = kernel.forward(spec, *operands, needs_grad=True)
    return value, (residuals, operands)


def loss_backward(
    kernel: Kernel[Array], spec: LossSpec, kept: Any, grad_output: Array
) -> tuple[Array | None, ...]:
    """Compute the gradients, each in the dtype of its operand; None where there is none."""
    residuals, operands = kept
    floating = (each is not None and jnp.issubdtype(each.dtype, jnp.floating) for each in operands[:3])
    gradients = kernel.backward(spec, residuals, grad_output, Needs(*floating))
    pairs = zip(gradients, operands[:3], strict=True)
    return *(None if gradient is None else gradient.astype(each.dtype) for gradient, each in pairs), None


loss.defvjp(loss_forward, loss_backward)
