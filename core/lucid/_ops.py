"""The operations of `Tensor`, each with its gradient, over any array-API namespace.

An operation takes the namespace and arrays (or Python numbers), and returns the result and one function per
operand: from the result's gradient to the operand's; none where there is no derivative. Only those that are
needed are called. What broadcasting and conversion did to an operand is undone in one place, `like`.

Libraries differ in what float32 and float64, or integers and floats, make together, and the standard leaves
some of it open. So operands are given one dtype first, by one rule: `promoted`.
"""

import operator
from collections.abc import Callable, Sequence
from math import prod
from typing import Any, NamedTuple, TypeAlias

Array: TypeAlias = Any
Pullbacks: TypeAlias = tuple[Callable[[Array], Array], ...]
Result: TypeAlias = tuple[Array, Pullbacks]
Axes: TypeAlias = int | tuple[int, ...] | None


class Form(NamedTuple):
    """What a gradient has to look like; it keeps no array alive."""

    shape: tuple[int, ...]
    dtype: Any


def like(xp: Any, gradient: Array, operand: "Array | Form") -> Array:
    """Sum a gradient over the axes that broadcasting added or stretched, and give it the operand's dtype."""
    shape = tuple(operand.shape)
    if tuple(gradient.shape) != shape:
        added = gradient.ndim - len(shape)
        stretched = (added + axis for axis, length in enumerate(shape) if length == 1)
        gradient = xp.reshape(xp.sum(gradient, axis=(*range(added), *stretched)), shape)
    return gradient if gradient.dtype == operand.dtype else xp.astype(gradient, operand.dtype)


def promoted(xp: Any, *operands: "Array | float") -> list[Any]:
    """Give the operands one dtype.

    Floating wins over integer, integer over Boolean, the wider over the narrower, and any array over a Python
    number of its kind; integers that meet a Python float become float32.
    """
    kinds = [kind(xp, operand) for operand in operands]
    highest = max(kinds)
    dtypes = {
        operand.dtype
        for operand, rank in zip(operands, kinds, strict=True)
        if rank == highest and not isinstance(operand, (int, float))
    }
    if not dtypes:  # only Python numbers are of the highest kind
        dtypes = {xp.float32 if highest == 2 else xp.int64}
    common = dtypes.pop() if len(dtypes) == 1 else xp.result_type(*dtypes)

    def converted(operand: "Array | float") -> Any:
        if isinstance(operand, bool):  # the standard lets it meet Booleans only
            return int(operand) if highest else operand
        return operand if isinstance(operand, (int, float)) else xp.astype(operand, common, copy=False)

    return [converted(operand) for operand in operands]


def kind(xp: Any, operand: "Array | float") -> int:
    """Rank Booleans 0, integers 1 and the rest 2."""
    if isinstance(operand, (int, float)):
        return 0 if isinstance(operand, bool) else 1 if isinstance(operand, int) else 2
    return 0 if xp.isdtype(operand.dtype, "bool") else 1 if xp.isdtype(operand.dtype, "integral") else 2


def paired(xp: Any, a: "Array | float", b: "Array | float") -> list[Any]:
    """Promote the operands of an elementwise operation, or say that their shapes don't fit."""
    left, right = tuple(getattr(a, "shape", ())), tuple(getattr(b, "shape", ()))
    pairs = zip(reversed(left), reversed(right), strict=False)
    if not all(m == n or 1 in (m, n) for m, n in pairs):
        raise ValueError(f"shapes {left} and {right} do not broadcast to a common one")
    return promoted(xp, a, b)


def floating(xp: Any, a: Array) -> Array:
    """Turn integers and Booleans into float32."""
    return a if kind(xp, a) == 2 else xp.astype(a, xp.float32)


def add(xp: Any, a: Array, b: Array) -> Result:
    """Return a + b."""
    a, b = paired(xp, a, b)
    return a + b, (lambda g: g, lambda g: g)


def subtract(xp: Any, a: Array, b: Array) -> Result:
    """Return a - b."""
    a, b = paired(xp, a, b)
    return a - b, (lambda g: g, lambda g: -g)


def multiply(xp: Any, a: Array, b: Array) -> Result:
    """Return a * b."""
    a, b = paired(xp, a, b)
    return a * b, (lambda g: g * b, lambda g: g * a)


def divide(xp: Any, a: Array, b: Array) -> Result:
    """Return a / b, of integers as float32."""
    a, b = (x if isinstance(x, (int, float)) else floating(xp, x) for x in paired(xp, a, b))
    result = a / b
    return result, (lambda g: g / b, lambda g: -g * (result / b))


def power(xp: Any, a: Array, b: Array) -> Result:
    """Return a ** b; where b is 0 the derivative by a is 0, and where a is 0 the one by b is 0."""
    a, b = paired(xp, a, b)
    result = a**b

    def by_base(g: Array) -> Array:
        if isinstance(b, (int, float)):  # squares and roots, without a second array
            return g * (b * a ** (b - 1)) if b else xp.zeros_like(g)
        slope = b * a ** xp.where(b == 0, xp.ones_like(b), b - 1)
        return g * xp.where(b == 0, xp.zeros_like(slope), slope)

    def by_exponent(g: Array) -> Array:
        base = xp.full_like(b, a) if isinstance(a, (int, float)) else a
        zero = base == 0
        return (
            g
            * xp.where(zero, xp.zeros_like(result), result)
            * xp.log(xp.where(zero, xp.ones_like(base), base))
        )

    return result, (by_base, by_exponent)


def compared(compare: Callable[[Array, Array], Array]) -> Callable[..., Result]:
    """Make the operation of a comparison."""

    def operation(xp: Any, a: Array, b: Array) -> Result:
        return compare(*paired(xp, a, b)), ()

    return operation


equal, not_equal = compared(operator.eq), compared(operator.ne)
less, less_equal = compared(operator.lt), compared(operator.le)
greater, greater_equal = compared(operator.gt), compared(operator.ge)


def negative(xp: Any, a: Array) -> Result:
    """Return -a."""
    return -a, (lambda g: -g,)


def matmul(xp: Any, a: Array, b: Array) -> Result:
    """Return a @ b, of vectors, matrices or stacks of matrices."""
    shapes = [tuple(getattr(x, "shape", ())) for x in (a, b)]
    if not all(shapes) or shapes[0][-1] != shapes[1][-2:][0]:
        raise ValueError(f"@ takes (..., n) and (n,) or (..., n, m), not {shapes[0]} and {shapes[1]}")
    a, b = promoted(xp, a, b)
    rows = a if a.ndim > 1 else xp.reshape(a, (1, -1))
    columns = b if b.ndim > 1 else xp.reshape(b, (-1, 1))
    product = rows @ columns
    full = tuple(product.shape)
    stack = full[:-2]
    shape = stack + full[-2:-1] * (a.ndim > 1) + full[-1:] * (b.ndim > 1)

    def by_left(g: Array) -> Array:
        gradient = xp.reshape(g, full) @ xp.matrix_transpose(columns)
        return xp.reshape(like(xp, gradient, rows), a.shape)

    def by_right(g: Array) -> Array:
        gradient = xp.matrix_transpose(rows) @ xp.reshape(g, full)
        return xp.reshape(like(xp, gradient, columns), b.shape)

    return xp.reshape(product, shape), (by_left, by_right)


def linear(xp: Any, x: Array, weight: Array, bias: Array | None = None) -> Result:
    """Return x @ weight.T + bias, for x (..., features) and weight (out, features)."""
    x, weight, *rest = promoted(xp, x, weight) if bias is None else promoted(xp, x, weight, bias)
    result = x @ xp.matrix_transpose(weight)

    def by_weight(g: Array) -> Array:
        rows = prod(x.shape[:-1])
        gradients, features = xp.reshape(g, (rows, g.shape[-1])), xp.reshape(x, (rows, x.shape[-1]))
        return xp.matrix_transpose(gradients) @ features

    pullbacks: Pullbacks = (lambda g: g @ weight, by_weight)
    return (result + rest[0], (*pullbacks, lambda g: g)) if rest else (result, pullbacks)


def sum_(xp: Any, a: Array, axis: Axes, keepdims: bool) -> Result:
    """Return the sum over all axes, or some; of Booleans, how many are true."""
    shape = tuple(a.shape)
    counted = xp.astype(a, xp.int64) if kind(xp, a) == 0 else a
    return xp.sum(counted, axis=axis, keepdims=keepdims), (lambda g: spread(xp, g, shape, axis),)


def mean(xp: Any, a: Array, axis: Axes, keepdims: bool) -> Result:
    """Return the mean over all axes, or some: of integers as float32, of nothing nan."""
    a, shape = floating(xp, a), tuple(a.shape)
    count = prod(shape[n] for n in reduced(shape, axis))
    if count:
        result = xp.mean(a, axis=axis, keepdims=keepdims)
    else:  # which NumPy would warn of
        result = xp.sum(a, axis=axis, keepdims=keepdims) * float("nan")
    return result, (lambda g: spread(xp, g / max(count, 1), shape, axis),)


def reduced(shape: tuple[int, ...], axis: Axes) -> Sequence[int]:
    """List the axes that a reduction goes over."""
    axes = range(len(shape)) if axis is None else (axis,) if isinstance(axis, int) else axis
    if any(not -len(shape) <= n < len(shape) for n in axes):
        raise ValueError(f"axis {axis} is out of range for shape {shape}")
    return [n % len(shape) for n in axes]


def spread(xp: Any, gradient: Array, shape: tuple[int, ...], axis: Axes) -> Array:
    """Give each element of an array the gradient of the sum that it went into."""
    axes = reduced(shape, axis)
    kept = tuple(1 if n in axes else length for n, length in enumerate(shape))
    return xp.broadcast_to(xp.reshape(gradient, kept), shape)


def reshape(xp: Any, a: Array, shape: tuple[int, ...]) -> Result:
    """Return the same elements in another shape."""
    former = tuple(a.shape)
    return xp.reshape(a, shape), (lambda g: xp.reshape(g, former),)


def getitem(xp: Any, a: Array, key: Any) -> Result:
    """Return the elements at a key that names each at most once."""

    def by_array(g: Array) -> Array:
        gradient = xp.zeros_like(a)
        # the standard has None where one reads, and not where one writes
        place = tuple(part for part in key if part is not None) if isinstance(key, tuple) else key
        try:
            gradient[place] = xp.reshape(g, tuple(gradient[place].shape))
        except TypeError:  # a library whose arrays can't be written to, such as JAX
            return scattered(xp, g, gradient, key)
        return gradient

    return a[key], (by_array,)


def scattered(xp: Any, values: Array, zeros: Array, key: Any) -> Array:
    """Return `zeros` with values at a key that names each element at most once, without writing to it."""
    everywhere = xp.arange(prod(zeros.shape))
    places = xp.reshape(xp.reshape(everywhere, zeros.shape)[key], (-1,))
    if not places.shape[0]:
        return zeros
    order = xp.argsort(places)
    places, values = xp.take(places, order), xp.take(xp.reshape(values, (-1,)), order)
    nearest = xp.clip(xp.searchsorted(places, everywhere), None, places.shape[0] - 1)
    found = xp.reshape(xp.take(places, nearest) == everywhere, zeros.shape)
    return xp.where(found, xp.reshape(xp.take(values, nearest), zeros.shape), zeros)


def astype(xp: Any, a: Array, dtype: Any) -> Result:
    """Return the same values in another dtype."""
    return xp.astype(a, dtype), (lambda g: g,) if xp.isdtype(dtype, "real floating") else ()


def sigmoid(xp: Any, a: Array) -> Result:
    """Return 1 / (1 + exp(-a)), without overflow and to full relative accuracy on both sides."""
    a = floating(xp, a)
    decayed = xp.exp(-xp.abs(a))
    result = xp.where(a >= 0, 1 / (1 + decayed), decayed / (1 + decayed))
    return result, (lambda g: g * (decayed / (1 + decayed) ** 2),)


def relu(xp: Any, a: Array) -> Result:
    """Return max(a, 0); its derivative at 0 is taken as 0, as PyTorch does."""
    result = xp.where(a < 0, xp.zeros_like(a), a)
    return result, (lambda g: xp.where(a > 0, g, xp.zeros_like(g)),)
