"""JAX as a backend of lucid, in forty lines: the definition of the losses, over jax.numpy."""

import jax
import jax.numpy as jnp
import numpy as np

from lucid.kernels import ArrayKernel, Logits, Probabilities
from lucid.protocol import Needs
from lucid_jax import INFO


class JaxKernel(ArrayKernel):  # float64 inside, whether or not the user's JAX has it switched on
    forward, backward = map(jax.enable_x64(True), (ArrayKernel.forward, ArrayKernel.backward))


class JaxBackend:
    info, xp = INFO, jnp
    bce, bce_with_logits = JaxKernel(jnp, Probabilities()), JaxKernel(jnp, Logits())

    def asarray(self, data, *, dtype=None, like=None, copy=None):
        array = jnp.array(data, copy=True) if copy or isinstance(data, np.ndarray) else data
        return array if dtype is None else array.astype(dtype)

    def to_numpy(self, array):
        return np.asarray(array, dtype=np.float32 if array.dtype == jnp.bfloat16 else None)

    def host_values(self, array):
        return not isinstance(array, jax.core.Tracer)  # under jit, grad and vmap there are none

    def differentiable(self, kernel):
        def backward(spec, residuals, grad):
            operands = residuals.operands[:3]
            floating = (x is not None and jnp.issubdtype(x.dtype, jnp.floating) for x in operands)
            gradients = zip(kernel.backward(spec, residuals, grad, Needs(*floating)), operands, strict=True)
            return *(None if g is None else g.astype(x.dtype) for g, x in gradients), None

        loss = jax.custom_vjp(lambda *a: kernel.forward(*a, needs_grad=False)[0], nondiff_argnums=(0,))
        loss.defvjp(lambda *a: kernel.forward(*a, needs_grad=True), backward)
        return loss
