"""The operations of `Tensor`, each with its gradient, over any array-API namespace.

An operation takes the namespace and arrays (or Python numbers), and returns the result and one function per
operand: from the result's gradient to the operand's. Only those that are needed are called. What broadcasting
did to an operand is undone in one place, `like`.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

Array: TypeAlias = Any
Pullbacks: TypeAlias = tuple[Callable[[Array], Array], ...]
Result: TypeAlias = tuple[Array, Pullbacks]


def like(xp: Any, gradient: Array, operand: Array) -> Array:
    """Sum a gradient over the axes that broadcasting added or stretched, and give it the operand's dtype."""
    if gradient.dtype != operand.dtype:
        gradient = xp.astype(gradient, operand.dtype)
    if gradient.shape == operand.shape:
        return gradient
    added = gradient.ndim - operand.ndim
    stretched = [axis + added for axis, length in enumerate(operand.shape) if length == 1]
    axes = (*range(added), *(axis for axis in stretched if gradient.shape[axis] != 1))
    summed = xp.sum(gradient, axis=axes) if axes else gradient
    return xp.reshape(summed, operand.shape)


def add(xp: Any, a: Array, b: Array) -> Result:
    """A + b."""
    return a + b, (lambda g: g, lambda g: g)


def subtract(xp: Any, a: Array, b: Array) -> Result:
    """A - b."""
    return a - b, (lambda g: g, lambda g: -g)


def multiply(xp: Any, a: Array, b: Array) -> Result:
    """A * b."""
    return a * b, (lambda g: g * b, lambda g: g * a)


def divide(xp: Any, a: Array, b: Array) -> Result:
    """A / b."""
    result = a / b
    return result, (lambda g: g / b, lambda g: -g * (result / b))


def power(xp: Any, a: Array, b: Array) -> Result:
    """A ** b, of two arrays; where b is 0 the derivative by a is 0, and where a is 0 the one by b is 0."""
    result = a**b

    def by_base(g: Array) -> Array:
        return g * xp.where(b == 0, xp.zeros_like(result), b * a ** xp.where(b == 0, xp.ones_like(b), b - 1))

    def by_exponent(g: Array) -> Array:
        return g * result * xp.log(xp.where(a == 0, xp.ones_like(a), a))

    return result, (by_base, by_exponent)


def power_of_number(xp: Any, a: Array, exponent: float) -> Result:
    """A ** exponent, of an array and a Python number."""
    return a**exponent, (lambda g: g * (exponent * a ** (exponent - 1)) if exponent else xp.zeros_like(g),)


def negative(xp: Any, a: Array) -> Result:
    """-a."""
    return -a, (lambda g: -g,)


def matmul(xp: Any, a: Array, b: Array) -> Result:
    """A @ b, of vectors, matrices or stacks of matrices."""
    rows = a if a.ndim > 1 else xp.reshape(a, (1, -1))
    columns = b if b.ndim > 1 else xp.reshape(b, (-1, 1))
    product = rows @ columns
    shape = product.shape
    if a.ndim == 1:
        shape = (*shape[:-2], shape[-1])
    if b.ndim == 1:
        shape = shape[:-1]

    def by_left(g: Array) -> Array:
        return xp.reshape(like(xp, xp.reshape(g, product.shape) @ transposed(xp, columns), rows), a.shape)

    def by_right(g: Array) -> Array:
        return xp.reshape(like(xp, transposed(xp, rows) @ xp.reshape(g, product.shape), columns), b.shape)

    return xp.reshape(product, shape), (by_left, by_right)


def transposed(xp: Any, a: Array) -> Array:
    """Swap the last two axes."""
    return xp.matrix_transpose(a)


def linear(xp: Any, x: Array, weight: Array, bias: Array | None = None) -> Result:
    """X @ weight.T + bias, for x (..., features) and weight (out, features)."""
    result = x @ transposed(xp, weight)

    def by_weight(g: Array) -> Array:
        return transposed(xp, xp.reshape(g, (-1, g.shape[-1]))) @ xp.reshape(x, (-1, x.shape[-1]))

    pullbacks: Pullbacks = (lambda g: g @ weight, by_weight)
    return (result, pullbacks) if bias is None else (result + bias, (*pullbacks, lambda g: g))


Axes: TypeAlias = int | tuple[int, ...] | None


def sum_(xp: Any, a: Array, axis: Axes, keepdims: bool) -> Result:
    """The sum over all axes, or some."""
    return xp.sum(a, axis=axis, keepdims=keepdims), (lambda g: spread(xp, g, a, axis),)


def mean(xp: Any, a: Array, axis: Axes, keepdims: bool) -> Result:
    """The mean over all axes, or some; of nothing it is nan."""
    result = xp.mean(a, axis=axis, keepdims=keepdims)
    share = result.size / a.size if a.size else 0.0
    return result, (lambda g: spread(xp, g, a, axis) * share,)


def spread(xp: Any, gradient: Array, a: Array, axis: Axes) -> Array:
    """Give each element of `a` the gradient of the sum that it went into."""
    axes = (
        range(a.ndim) if axis is None else [n % a.ndim for n in ((axis,) if isinstance(axis, int) else axis)]
    )
    kept = tuple(1 if n in axes else length for n, length in enumerate(a.shape))
    return xp.broadcast_to(xp.reshape(gradient, kept), a.shape)


def reshape(xp: Any, a: Array, shape: tuple[int, ...]) -> Result:
    """The same elements in another shape."""
    return xp.reshape(a, shape), (lambda g: xp.reshape(g, a.shape),)


def getitem(xp: Any, a: Array, key: Any) -> Result:
    """The elements at a key of integers, slices, None, Ellipsis, or a mask."""

    def by_array(g: Array) -> Array:
        gradient = xp.zeros_like(a)
        gradient[key] = g
        return gradient

    return a[key], (by_array,)


def astype(xp: Any, a: Array, dtype: Any) -> Result:
    """The same values in another dtype."""
    return xp.astype(a, dtype), (lambda g: g,)


def sigmoid(xp: Any, a: Array) -> Result:
    """1 / (1 + exp(-a)), without overflow and to full relative accuracy on both sides."""
    decayed = xp.exp(-xp.abs(a))
    result = xp.where(a >= 0, 1 / (1 + decayed), decayed / (1 + decayed))
    return result, (lambda g: g * (decayed / (1 + decayed) ** 2),)


def relu(xp: Any, a: Array) -> Result:
    """max(a, 0); its derivative at 0 is taken as 0, as PyTorch does."""
    result = xp.where(a < 0, xp.zeros_like(a), a)
    return result, (lambda g: xp.where(a > 0, g, xp.zeros_like(g)),)
