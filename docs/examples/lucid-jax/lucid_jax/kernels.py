"""The losses for JAX: one compiled function forward and one backward, in float64 inside.

JAX has float64 switched off unless the user says otherwise, and XLA on the CPU takes subnormal numbers for 0.
Here float64 is on for the kernels alone, and what is subnormal in float32 or bfloat16 goes by its bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import nan
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from lucid.protocol import Gradients, LossSpec, Needs, Reduction

__all__ = ["BCE", "BCE_WITH_LOGITS", "JaxKernel"]


class Numbers(NamedTuple):
    """The numbers of a `LossSpec`, as the formulas use them: other ones need no other compilation."""

    most: float  # the bound of -log p
    clip: float  # 0 where nothing is clipped
    lowest: float  # the bound of a divisor p or 1-p
    smoothing: float
    ignored: float  # nan, which no target is equal to, where none is ignored

    @classmethod
    def of(cls, spec: LossSpec, dtype: Any) -> "Numbers":
        """Read them."""
        smallest = jnp.finfo(dtype).smallest_normal  # type: ignore[no-untyped-call]  # JAX has no type for it
        lowest = float(smallest) if spec.eps is None else spec.eps
        ignored = nan if spec.ignore_index is None else spec.ignore_index
        return cls(spec.largest_term, spec.eps or 0.0, lowest, spec.label_smoothing, ignored)


class Wide(NamedTuple):
    """Operands in float64; `y` and `rest` are the smoothed target and 1 minus it."""

    x: Array
    y: Array
    rest: Array
    w: Array
    v: Array
    kept: Array
    valid: Array


class Residuals(NamedTuple):
    """What backward wants back: the operands, what the sum was divided by, and the loss, unrounded."""

    operands: tuple[Array, Array, Array | None, Array | None]
    divisor: Array
    loss: Array


def widened(x: Array) -> Array:
    """Convert to float64, exactly."""
    if x.dtype not in (jnp.float32, jnp.bfloat16):
        return x.astype(jnp.float64)
    x = x.astype(jnp.float32)
    bits = lax.bitcast_convert_type(x, jnp.uint32)
    size = bits & 0x7FFFFFFF
    subnormal = size.astype(jnp.float64) * 2.0**-149
    subnormal = jnp.where(bits >> 31, -subnormal, subnormal)
    return jnp.where(size < 0x00800000, subnormal, x.astype(jnp.float64))


def narrowed(x: Array, dtype: Any) -> Array:
    """Round to a dtype, once."""
    if dtype not in (jnp.float32, jnp.bfloat16):
        return x.astype(dtype)
    smallest, kind = (2.0**-149, jnp.uint32) if dtype == jnp.float32 else (2.0**-133, jnp.uint16)
    steps = jnp.round(jnp.abs(x) / smallest).astype(kind)
    sign = jnp.signbit(x).astype(kind) << (8 * dtype.itemsize - 1)
    subnormal = lax.bitcast_convert_type(steps | sign, dtype)
    return jnp.where(jnp.abs(x) < 2.0**-126, subnormal, x.astype(dtype))


def times(coefficient: Array, term: Array) -> Array:
    """Multiply, where 0 times inf is 0."""
    return jnp.where(coefficient == 0, 0.0, coefficient * term)


def log1p(x: Array) -> Array:
    """Return log(1 + x) to a rounding, with what 1 + x has rounded away; XLA's own can be off by 126."""
    u = lax.reduce_precision(1 + x, 11, 52)  # which changes nothing, but keeps XLA from taking u - 1 for x
    return jnp.log(u) - jnp.where(u == 0, 0.0, ((u - 1) - x) / u)


# The two losses: a P + b N, and its derivative


def probability_terms(n: Numbers, p: Array) -> tuple[Array, Array]:
    """Return -log p and -log(1 - p), bounded."""
    return jnp.minimum(-jnp.log(p), n.most), jnp.minimum(-log1p(-p), n.most)


def probability_slope(n: Numbers, at: Wide) -> Array:
    """Return b/(1-p) - a/p; for soft labels in the form that keeps what this would cancel."""
    p, q = at.x, 1 - at.x
    p_low, q_low = jnp.maximum(p, n.lowest), jnp.maximum(q, n.lowest)
    y, rest = jnp.where(p < n.clip, 0.0, at.y), jnp.where(q < n.clip, 0.0, at.rest)
    slope = times(at.w, quotient(rest, q_low)) - times(at.w * at.v, quotient(y, p_low))
    over = (p_low - y) - y * ((p_low - p) + (q_low - q))
    soft = (y != 0) & (rest != 0) & (at.v == 1) & (n.smoothing == 0)
    return jnp.where(soft, times(at.w, quotient(quotient(over, p_low), q_low)), slope)


def quotient(a: Array, b: Array) -> Array:
    """Divide, where 0/0 is 0."""
    return jnp.where(a == 0, 0.0, a / b)


def logit_terms(n: Numbers, z: Array) -> tuple[Array, Array]:
    """Return softplus(-z) and softplus(z)."""
    rest = log1p(jnp.exp(-jnp.abs(z)))
    return jnp.maximum(-z, 0.0) + rest, jnp.maximum(z, 0.0) + rest


def logit_slope(n: Numbers, at: Wide) -> Array:
    """Return b sigmoid(z) - a sigmoid(-z), each to full relative accuracy."""
    decayed = jnp.exp(-jnp.abs(at.x))
    small, large = decayed / (1 + decayed), 1 / (1 + decayed)
    up, down = jnp.where(at.x >= 0, large, small), jnp.where(at.x >= 0, small, large)
    return at.w * (at.rest * up) - at.w * at.v * (at.y * down)


# What they have in common


@dataclass(frozen=True)
class JaxKernel:
    """A loss; see `lucid.protocol.Kernel`."""

    terms: Callable[[Numbers, Array], tuple[Array, Array]]
    slope: Callable[[Numbers, Wide], Array]
    highest: float

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
        """Compute the loss."""
        operands, numbers = (input, target, weight, pos_weight), Numbers.of(spec, input.dtype)
        with jax.enable_x64(True):
            loss, divisor, unrounded = forward(self, spec.reduction, numbers, operands)
        return loss, Residuals(operands, divisor, unrounded)

    def backward(
        self, spec: LossSpec, residuals: Residuals, grad_output: Array | None, needs: Needs
    ) -> Gradients[Array]:
        """Compute the gradients."""
        numbers = Numbers.of(spec, residuals.operands[0].dtype)
        with jax.enable_x64(True):
            gradients: Gradients[Array] = backward(
                self, spec.reduction, needs, numbers, residuals, grad_output
            )
        return gradients


@partial(jax.jit, static_argnums=(0, 1))
def forward(
    kernel: JaxKernel, reduction: Reduction, n: Numbers, operands: tuple[Any, ...]
) -> tuple[Array, Array, Array]:
    """Return the loss, what it was divided by, and the loss unrounded."""
    at, dtype = prepared(kernel, n, operands), operands[0].dtype
    positive, negative = kernel.terms(n, at.x)
    losses = times(at.w * at.v, times(at.y, positive)) + times(at.w, times(at.rest, negative))
    losses, divisor = finished(at, losses), jnp.float64(1)
    if reduction == "none":
        return narrowed(losses, dtype), divisor, divisor
    loss = total(losses, dtype)
    if reduction != "sum":
        counts = at.w if reduction == "weighted_mean" else jnp.ones_like(at.w)
        divisor = total(jnp.where(at.kept, counts, 0.0), dtype)
        divisor = jnp.where(divisor == 0, nan, divisor)  # nothing to average
        loss = loss / divisor
    return narrowed(loss, dtype), divisor, loss


@partial(jax.jit, static_argnums=(0, 1, 2))
def backward(
    kernel: JaxKernel,
    reduction: Reduction,
    needs: Needs,
    n: Numbers,
    residuals: Residuals,
    grad_output: Array | None,
) -> Gradients[Array]:
    """Return the gradients that are needed."""
    at, dtype = prepared(kernel, n, residuals.operands), residuals.operands[0].dtype
    upstream = jnp.float64(1) if grad_output is None else widened(grad_output)
    scale, w = upstream / residuals.divisor, at.w * upstream / residuals.divisor
    mean = residuals.loss if reduction == "weighted_mean" else 0.0
    by_input = kernel.slope(n, at._replace(w=w)) if needs.input else None
    by_target = by_weight = None
    if needs.target or needs.weight:
        positive, negative = kernel.terms(n, at.x)
    if needs.target:
        w = w * (1 - n.smoothing)
        by_target = times(w * at.v, positive) - times(w, negative)
    if needs.weight:
        by_weight = times(scale * at.v, times(at.y, positive)) + times(scale, times(at.rest, negative))
        by_weight = by_weight - scale * mean
    first, second, third = (
        None if gradient is None else narrowed(finished(at, gradient), dtype)
        for gradient in (by_input, by_target, by_weight)
    )
    return first, second, third


def prepared(kernel: JaxKernel, n: Numbers, operands: tuple[Any, ...]) -> Wide:
    """Widen the operands, and put 1/2 where the element is ignored or invalid."""
    x, t = widened(operands[0]), widened(operands[1])
    w, v = (jnp.ones_like(x) if each is None else widened(each) for each in operands[2:])
    valid = (x >= 1 - kernel.highest) & (x <= kernel.highest) & (t >= 0) & (t <= 1)
    kept = t != n.ignored
    x, t = jnp.where(valid & kept, x, 0.5), jnp.where(valid & kept, t, 0.5)
    s = n.smoothing
    return Wide(x, t * (1 - s) + s / 2, (1 - t) * (1 - s) + s / 2, w, v, kept, valid)


def finished(at: Wide, values: Array) -> Array:
    """Put nan where there is no loss, and 0 where the element is ignored."""
    return jnp.where(at.kept, jnp.where(at.valid, values, nan), 0.0)


def total(values: Array, dtype: Any) -> Array:
    """Add up; where nothing is wider than the result, with what each addition rounds away (Knuth)."""
    if dtype != jnp.float64:
        return jnp.sum(values)

    def add(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
        both = a[0] + b[0]
        part = both - a[0]
        return both, a[1] + b[1] + ((a[0] - (both - part)) + (b[0] - part))

    zero = jnp.float64(0)
    both, error = lax.reduce((values, jnp.zeros_like(values)), (zero, zero), add, range(values.ndim))
    return jnp.where(jnp.isfinite(both), both + error, both)


BCE = JaxKernel(probability_terms, probability_slope, highest=1.0)
BCE_WITH_LOGITS = JaxKernel(logit_terms, logit_slope, highest=float("inf"))
