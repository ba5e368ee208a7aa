"""The definition of the two losses, over any array-API namespace.

With y the smoothed target, w the weight, v the pos_weight, and 0 for both where the target is ignored::

    a = w v y,  b = w (1 - y),  loss = a P + b N

From a probability p:  P = -log p,          N = -log(1 - p), each at most `spec.largest_term`.
From a logit z:        P = softplus(-z),    N = softplus(z).

A term whose coefficient is 0 is 0. Everything is computed in a wider dtype than the input's and rounded once.
A backend can start with these kernels, block by block if it likes, and measure its own against them.
"""

from dataclasses import dataclass
from math import inf, nan
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

from lucid.protocol import Differentiable, Gradients, Kernel, LossSpec, Needs

__all__ = ["ArrayKernel", "Formulas", "Logits", "Prepared", "Probabilities", "forward_only"]

Array: TypeAlias = Any
Namespace: TypeAlias = Any


FAR: Final = 700.0
"""Logits beyond which exp(-|z|) is nearly subnormal in float64, and is computed in two halves."""


class Prepared(NamedTuple):
    """Operands in the wide dtype, with harmless values where the result is decided without them.

    `y` and `rest` are the smoothed target and 1 minus it; `kept` says what is not ignored, None for all;
    `lowest` bounds a divisor p or 1-p from below.
    """

    x: Array
    y: Array
    rest: Array
    w: Array
    v: Array
    kept: Array | None
    valid: Array
    lowest: float


class Formulas(Protocol):
    """What the two losses differ in."""

    def valid(self, x: Array) -> Array:
        """Which inputs have a loss."""

    def terms(self, xp: Namespace, spec: LossSpec, x: Array) -> tuple[Array, Array]:
        """Return P and N, but for what `tails` returns."""

    def tails(self, xp: Namespace, x: Array) -> tuple[Array, Array] | None:
        """Return what P and N are still to be multiplied by, after the weights; None for 1."""

    def slope(self, xp: Namespace, spec: LossSpec, at: Prepared) -> Array:
        """Return the derivative of a P + b N."""


class Probabilities:
    """The loss from probabilities."""

    def valid(self, x: Array) -> Array:
        """Those in [0, 1]."""
        return (x >= 0) & (x <= 1)

    def terms(self, xp: Namespace, spec: LossSpec, x: Array) -> tuple[Array, Array]:
        """Return -log p and -log(1 - p), bounded."""
        most = xp.full_like(x, spec.largest_term)
        positive = xp.where(x > 0, -xp.log(xp.where(x > 0, x, xp.ones_like(x))), most)
        negative = xp.where(x < 1, -xp.log1p(-xp.where(x < 1, x, xp.zeros_like(x))), most)
        return xp.minimum(positive, most), xp.minimum(negative, most)

    def tails(self, xp: Namespace, x: Array) -> tuple[Array, Array] | None:
        """Return nothing: no term is nearly 0, unless it is."""
        return None

    def slope(self, xp: Namespace, spec: LossSpec, at: Prepared) -> Array:
        """Return b/(1-p) - a/p, and 0 for the one whose logarithm is clipped."""
        p, q = at.x, 1 - at.x
        lowest = xp.full_like(p, at.lowest)
        p_low, q_low = xp.maximum(p, lowest), xp.maximum(q, lowest)
        y, rest = at.y, at.rest
        if spec.eps:
            y = xp.where(p < spec.eps, xp.zeros_like(y), y)
            rest = xp.where(q < spec.eps, xp.zeros_like(rest), rest)
        down, up = quotient(xp, y, p_low), quotient(xp, rest, q_low)  # before the weights: no underflow
        slope = product(xp, at.w, up) - product(xp, at.w * at.v, down)
        if spec.label_smoothing:
            return slope
        # for soft labels p - y keeps what b/(1-p) - a/p would cancel; dividing twice, nothing overflows
        soft = (y != 0) & (rest != 0) & (at.v == 1)
        over = (p_low - y) - y * ((p_low - p) + (q_low - q))
        combined = product(xp, at.w, quotient(xp, quotient(xp, over, p_low), q_low))
        return xp.where(soft, combined, slope)


class Logits:
    """The loss from logits."""

    def valid(self, x: Array) -> Array:
        """All but nan."""
        return x == x  # noqa: PLR0124  # nan is not itself, in every namespace

    def terms(self, xp: Namespace, spec: LossSpec, x: Array) -> tuple[Array, Array]:
        """Return softplus(-z) and softplus(z), the smaller one beyond `FAR` as exp(-|z|/2)."""
        zero, decayed = xp.zeros_like(x), self.decayed(xp, x)
        rest = xp.where(decayed < 2.0**-60, decayed, xp.log1p(decayed))  # PyTorch's log1p(5e-324) is 0
        return xp.maximum(-x, zero) + rest, xp.maximum(x, zero) + rest

    def tails(self, xp: Namespace, x: Array) -> tuple[Array, Array] | None:
        """Return the other half of the smaller term: a weight may make a subnormal number a normal one."""
        if x.dtype != xp.float64:
            return None
        one, decayed = xp.ones_like(x), self.decayed(xp, x)
        return xp.where(x > FAR, decayed, one), xp.where(x < -FAR, decayed, one)

    def decayed(self, xp: Namespace, x: Array) -> Array:
        """Return exp(-|z|), or its root beyond `FAR`."""
        size = xp.abs(x)
        return xp.exp(xp.where(size > FAR, -size / 2, -size) if x.dtype == xp.float64 else -size)

    def slope(self, xp: Namespace, spec: LossSpec, at: Prepared) -> Array:
        """Return b sigmoid(z) - a sigmoid(-z), each to full relative accuracy."""
        decayed, positive = self.decayed(xp, at.x), at.x >= 0
        small, large = decayed / (1 + decayed), 1 / (1 + decayed)
        up, down = xp.where(positive, large, small), xp.where(positive, small, large)
        return difference(self.tails(xp, -at.x), at.w * (at.rest * up), at.w * at.v * (at.y * down))


def difference(tails: tuple[Array, Array] | None, first: Array, second: Array) -> Array:
    """Subtract two terms, with what they are still to be multiplied by."""
    return first - second if tails is None else first * tails[0] - second * tails[1]


def product(xp: Namespace, coefficient: Array, term: Array) -> Array:
    """Multiply, where 0 times inf is 0."""
    return coefficient * xp.where(coefficient == 0, xp.zeros_like(term), term)


def quotient(xp: Namespace, a: Array, b: Array) -> Array:
    """Divide, where 0/0 is 0 and a/0 is inf; without asking a library to divide by 0, which may warn."""
    zero = b == 0
    infinite = xp.where(a < 0, xp.full_like(a, -inf), xp.where(a > 0, xp.full_like(a, inf), a))
    return xp.where(zero, infinite, a / xp.where(zero, xp.ones_like(b), b))


class Residuals(NamedTuple):
    """What backward wants back: the operands, what the sum was divided by, and the loss, unrounded.

    `ready` may hold the gradient by the input for a `grad_output` of 1, for the first one to ask: it is given
    away once, as the receiver may write to it.
    """

    operands: tuple[Array, Array, Array | None, Array | None]
    denominator: Array | None
    loss: Array
    ready: list[Array] | None = None

    def given_away(self) -> Array | None:
        """Give `ready` away, unless somebody has it: two threads may ask at once."""
        try:
            return self.ready.pop() if self.ready else None
        except IndexError:
            return None


@dataclass(frozen=True, slots=True)
class ArrayKernel:
    """A loss over a namespace; it keeps `lucid.protocol.Kernel`.

    Parameters
    ----------
    xp : namespace
        Any that follows the array-API standard, such as those of `array_api_compat`.
    formulas : Formulas
        `Probabilities` or `Logits`.
    """

    xp: Namespace
    formulas: Formulas

    def prepare(
        self, spec: LossSpec, input: Array, target: Array, weight: Array | None, pos_weight: Array | None
    ) -> Prepared:
        """Widen the operands, and put 1/2 where the element is ignored or invalid."""
        xp, s = self.xp, spec.label_smoothing
        # float32 is wide enough for float16, unless eps is less than its numbers are; bfloat16 has its range,
        # whose squares float32 can't hold
        narrow = input.dtype == getattr(xp, "float16", None) and not 0 < (spec.eps or 0) < 2.0**-126
        dtype = xp.float32 if narrow else xp.float64
        x, t = (xp.astype(each, dtype, copy=False) for each in (input, target))
        valid = self.formulas.valid(x) & (t >= 0) & (t <= 1)
        kept = None if spec.ignore_index is None else t != spec.ignore_index
        harmless = valid if kept is None else valid & kept
        x, t = (xp.where(harmless, each, xp.full_like(x, 0.5)) for each in (x, t))
        w, v = (
            xp.ones_like(x) if each is None else xp.astype(each, dtype, copy=False)
            for each in (weight, pos_weight)
        )
        lowest = float(xp.finfo(input.dtype).smallest_normal) if spec.eps is None else spec.eps
        y, rest = (
            t * (1 - s) + s / 2,
            (1 - t) * (1 - s) + s / 2,
        )  # 1 - y would lose the digits of a small rest
        return Prepared(x, y, rest, w, v, kept, valid, lowest)

    def finish(self, at: Prepared, values: Array) -> Array:
        """Put nan where there is no loss, and 0 where the element is ignored."""
        values = self.xp.where(at.valid, values, self.xp.full_like(values, nan))
        return values if at.kept is None else self.xp.where(at.kept, values, self.xp.zeros_like(values))

    def losses(self, spec: LossSpec, at: Prepared) -> Array:
        """Return the unreduced loss, unrounded."""
        positive, negative = self.formulas.terms(self.xp, spec, at.x)
        # y P first: it neither overflows nor, where it counts, underflows
        positive, negative = product(self.xp, at.y, positive), product(self.xp, at.rest, negative)
        tails = self.formulas.tails(self.xp, at.x)
        losses = difference(tails, product(self.xp, at.w * at.v, positive), -product(self.xp, at.w, negative))
        return self.finish(at, losses)

    def denominators(self, spec: LossSpec, at: Prepared) -> Array:
        """Return what each element adds to the divisor of a mean."""
        ones = at.w if spec.reduction == "weighted_mean" else self.xp.ones_like(at.w)
        return ones if at.kept is None else self.xp.where(at.kept, ones, self.xp.zeros_like(ones))

    def gradients(
        self, spec: LossSpec, at: Prepared, upstream: Array, divisor: Any, mean: Any, needs: Needs
    ) -> Gradients[Array]:
        """Return the gradients, unrounded, of the sum times `upstream` / `divisor`.

        `mean` is the loss if it is a weighted mean, and 0 otherwise.
        """
        xp = self.xp
        scale = upstream / divisor
        at = at._replace(w=at.w * upstream / divisor)
        by_input = by_target = by_weight = None
        if needs.input:
            by_input = self.finish(at, self.formulas.slope(xp, spec, at))
        if needs.target or needs.weight:
            positive, negative = self.formulas.terms(xp, spec, at.x)
            tails = self.formulas.tails(xp, at.x)
            if needs.target:
                w = at.w * (1 - spec.label_smoothing)
                by_target = difference(tails, product(xp, w * at.v, positive), product(xp, w, negative))
                by_target = self.finish(at, by_target)
            if needs.weight:
                positive, negative = product(xp, at.y, positive), product(xp, at.rest, negative)
                by_weight = difference(
                    tails, product(xp, scale * at.v, positive), -product(xp, scale, negative)
                )
                by_weight = self.finish(at, by_weight - scale * mean)
        return by_input, by_target, by_weight

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
        xp, operands = self.xp, (input, target, weight, pos_weight)
        at = self.prepare(spec, *operands)
        loss, denominator = self.losses(spec, at), None
        if spec.reduction != "none":
            loss = total(xp, loss, input.dtype)
        if spec.reduction in {"mean", "weighted_mean"}:
            denominator = total(xp, self.denominators(spec, at), input.dtype)
            loss = ratio(xp, loss, denominator)
        return xp.astype(loss, input.dtype), Residuals(operands, denominator, loss)

    def backward(
        self, spec: LossSpec, residuals: Residuals, grad_output: Array | None, needs: Needs
    ) -> Gradients[Array]:
        """Compute the gradients; see `lucid.protocol.Kernel`."""
        xp = self.xp
        at = self.prepare(spec, *residuals.operands)
        upstream = xp.ones_like(at.x) if grad_output is None else xp.astype(grad_output, at.x.dtype)
        upstream = xp.broadcast_to(upstream, at.x.shape)
        divisor: Any = 1.0
        if residuals.denominator is not None:  # nan, not 0, if there was nothing to average
            zero = residuals.denominator == 0
            divisor = xp.where(zero, xp.full_like(residuals.denominator, nan), residuals.denominator)
        mean = residuals.loss if spec.reduction == "weighted_mean" else 0.0
        dtype = residuals.operands[0].dtype
        gradients = self.gradients(spec, at, upstream, divisor, mean, needs)
        first, second, third = (None if each is None else xp.astype(each, dtype) for each in gradients)
        return first, second, third


def total(xp: Namespace, values: Array, dtype: Any) -> Array:
    """Add up in C order, whatever the strides, to within a rounding of the dtype of the result."""
    sums = xp.reshape(xp.astype(values, xp.float64), (-1,))
    if dtype != xp.float64 or not sums.shape[0]:
        return xp.sum(sums)
    errors = xp.zeros_like(sums)
    while (length := sums.shape[0]) > 1:  # pairwise, carrying along what each addition rounds away (Knuth)
        half = length // 2
        a, b, odd = sums[:half], sums[half : 2 * half], slice(2 * half, length)
        both = a + b
        part = both - a
        error = errors[:half] + errors[half : 2 * half] + ((a - (both - part)) + (b - part))
        sums, errors = xp.concat([both, sums[odd]]), xp.concat([error, errors[odd]])
    return xp.where(xp.isfinite(sums[0]), sums[0] + errors[0], sums[0])


def ratio(xp: Namespace, total: Array, denominator: Array) -> Array:
    """Divide a sum by what there was to average: nan for nothing."""
    nothing = denominator == 0
    return xp.where(
        nothing, xp.full_like(total, nan), total / xp.where(nothing, xp.ones_like(denominator), denominator)
    )


def forward_only(kernel: Kernel[Array]) -> Differentiable[Array]:
    """Be the `differentiable` of a library that has no autograd: compute the loss, and nothing more."""

    def loss(
        spec: LossSpec, input: Array, target: Array, weight: Array | None, pos_weight: Array | None
    ) -> Array:
        return kernel.forward(spec, input, target, weight, pos_weight, needs_grad=False)[0]

    return loss
