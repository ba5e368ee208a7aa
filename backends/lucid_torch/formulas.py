"""The definition of `lucid.kernels` in PyTorch's own operations: for all that traces or transforms them.

The operations' own derivatives are the right ones everywhere: at the bounds of a logarithm, and where a
coefficient or a logit is 0. So the losses can be differentiated by what traces them, and the gradients, which
are exact where those of the operations would cancel, can be differentiated again. No value is looked at: a
compiler sees one graph, and a device is never waited for.
"""

from dataclasses import dataclass
from math import nan
from typing import Final, NamedTuple, Protocol, TypeAlias

import torch

from lucid.protocol import Gradients, LossSpec, Needs
from lucid_torch.placement import Operands

__all__ = ["BCE", "BCE_WITH_LOGITS", "DefinedKernel"]

Coefficient: TypeAlias = torch.Tensor | float


class Prepared(NamedTuple):
    """Operands in the wide dtype: nan where there is no loss, harmless numbers where the element is ignored.

    The names are those of `lucid.kernels.Prepared`, but for `mark`, which is nan where there is no loss, and
    1 elsewhere. A weight that there is none of is the number 1.
    """

    x: torch.Tensor
    y: torch.Tensor
    rest: torch.Tensor
    w: Coefficient
    v: Coefficient
    kept: torch.Tensor | None
    mark: torch.Tensor
    lowest: float


class Formulas(Protocol):
    """What the two losses differ in."""

    def valid(self, x: torch.Tensor) -> torch.Tensor:
        """Which inputs have a loss."""

    def terms(self, spec: LossSpec, at: Prepared) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the losses of the labels 1 and 0, P and N."""

    def slope(self, spec: LossSpec, at: Prepared) -> torch.Tensor:
        """Return the derivative of w v y P + w (1 - y) N."""


class Probabilities:
    """The loss from probabilities."""

    def valid(self, x: torch.Tensor) -> torch.Tensor:
        """Those in [0, 1]."""
        return (x >= 0) & (x <= 1)

    def terms(self, spec: LossSpec, at: Prepared) -> tuple[torch.Tensor, torch.Tensor]:
        """Return -log p and -log(1 - p), bounded; their derivatives are those of `slope`."""
        p, most = at.x, spec.largest_term
        # -log of the smallest normal number is beyond the bound already, and 1/p is finite from there on
        above = p >= torch.finfo(p.dtype).smallest_normal if spec.eps is None else p > 0
        positive = -torch.log(torch.where(above, p, 1.0))
        negative = -torch.log1p(-torch.where(p < 1, p, 0.0))
        if spec.eps:
            return torch.where(p < spec.eps, most, positive), torch.where(1 - p < spec.eps, most, negative)
        bounded = torch.where(above, positive.clamp(max=most), most)
        if spec.eps == 0 or not torch.is_grad_enabled():
            return bounded, torch.where(p < 1, negative, most)
        rise = (p - p.detach()) / at.lowest  # 0, with a slope
        positive = torch.where(p < at.lowest, -rise, positive - positive.detach())
        return bounded.detach() + positive, torch.where(p < 1, negative, most + rise)

    def slope(self, spec: LossSpec, at: Prepared) -> torch.Tensor:
        """Return w (1-y)/(1-p) - w v y/p, and 0 for the one whose logarithm is clipped."""
        p, q = at.x, 1 - at.x
        p_low, q_low = (torch.where(t > at.lowest, t, at.lowest) for t in (p, q))  # unlike clamp, no -0
        if spec.eps is None and not spec.label_smoothing and isinstance(at.v, float):
            # p - y keeps what the difference would cancel; what the bounds add to p and q belongs to it too
            over = (p_low - at.y) - at.y * ((p_low - p) + (q_low - q))
            return at.w * (over / p_low / q_low)
        y, rest = at.y, at.rest
        if spec.eps:
            y, rest = torch.where(p < spec.eps, 0.0, y), torch.where(q < spec.eps, 0.0, rest)
        down, up = quotient(y, p_low), quotient(rest, q_low)
        slope = product(at.w, up) - product(at.w * at.v, down)
        if spec.label_smoothing:
            return slope
        soft = (y != 0) & (rest != 0) & (at.v == 1)
        over = (p_low - y) - y * ((p_low - p) + (q_low - q))
        return torch.where(soft, product(at.w, quotient(quotient(over, p_low), q_low)), slope)


class Logits:
    """The loss from logits."""

    def valid(self, x: torch.Tensor) -> torch.Tensor:
        """All but nan."""
        return ~x.isnan()

    def terms(self, spec: LossSpec, at: Prepared) -> tuple[torch.Tensor, torch.Tensor]:
        """Return softplus(-z) and softplus(z)."""
        z, positive = at.x, at.x >= 0
        decayed = torch.exp(torch.where(positive, -z, z))  # unlike abs, it has a derivative at 0
        rest = torch.where(decayed < 2.0**-60, decayed, torch.log1p(decayed))  # log1p(5e-324) gives 0
        return torch.where(positive, 0.0, -z) + rest, torch.where(positive, z, 0.0) + rest

    def slope(self, spec: LossSpec, at: Prepared) -> torch.Tensor:
        """Return w (1-y) sigmoid(z) - w v y sigmoid(-z), each to full relative accuracy."""
        positive = at.x >= 0
        decayed = torch.exp(torch.where(positive, -at.x, at.x))
        small, large = decayed / (1 + decayed), 1 / (1 + decayed)
        up, down = torch.where(positive, large, small), torch.where(positive, small, large)
        return at.w * (at.rest * up) - at.w * at.v * (at.y * down)


@dataclass(frozen=True, slots=True)
class DefinedKernel:
    """A loss on tensors of any device and kind; it keeps `lucid.protocol.Kernel`.

    Parameters
    ----------
    formulas : Formulas
        `Probabilities` or `Logits`.
    """

    formulas: Formulas

    def forward(
        self,
        spec: LossSpec,
        input: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None,
        pos_weight: torch.Tensor | None,
        *,
        needs_grad: bool,
    ) -> tuple[torch.Tensor, Operands]:
        """Compute the loss; see `lucid.protocol.Kernel`."""
        operands = (input, target, weight, pos_weight)
        at = self.prepare(spec, operands)
        loss = self.losses(spec, at)
        if spec.reduction != "none":
            loss = total(loss, input.dtype)
        if spec.reduction in {"mean", "weighted_mean"}:
            loss = loss / divisor(spec, at)
        return loss.to(input.dtype), operands

    def backward(
        self, spec: LossSpec, residuals: Operands, grad_output: torch.Tensor | None, needs: Needs
    ) -> Gradients[torch.Tensor]:
        """Compute the gradients, differentiably; see `lucid.protocol.Kernel`."""
        at, dtype = self.prepare(spec, residuals), residuals[0].dtype
        scale: Coefficient = 1.0 if grad_output is None else grad_output.to(at.x.dtype)
        if spec.reduction in {"mean", "weighted_mean"}:
            scale = scale / divisor(spec, at)
        by_input = by_target = by_weight = None
        if needs.input:
            by_input = finish(at, self.formulas.slope(spec, at._replace(w=at.w * scale))).to(dtype)
        if needs.target:
            positive, negative = self.formulas.terms(spec, at)
            w = at.w * scale * (1 - spec.label_smoothing)
            by_target = finish(at, product(w * at.v, positive) - product(w, negative)).to(dtype)
        if needs.weight:
            by_weight = self.losses(spec, at._replace(w=scale))
            if spec.reduction == "weighted_mean":
                by_weight = by_weight - scale * (total(self.losses(spec, at), dtype) / divisor(spec, at))
            by_weight = finish(at, by_weight).to(dtype)
        return by_input, by_target, by_weight

    def prepare(self, spec: LossSpec, operands: Operands) -> Prepared:
        """Widen the operands, and mark those that have no loss, so that they have no derivative either."""
        input, dtype, s = operands[0], wide(spec, operands[0]), spec.label_smoothing
        x, t, w, v = (1.0 if each is None else each.to(dtype) for each in operands)
        kept = None
        if spec.ignore_index is not None:
            kept = t != spec.ignore_index
            x, t = torch.where(kept, x, 0.5), torch.where(kept, t, 0.5)
            w = w if isinstance(w, float) else torch.where(kept, w, 1.0)
        mark = torch.where(self.formulas.valid(x) & (t >= 0) & (t <= 1), 1.0, nan).to(dtype)
        x, t = x * mark, t * mark
        lowest = torch.finfo(input.dtype).smallest_normal if spec.eps is None else spec.eps
        return Prepared(x, t * (1 - s) + s / 2, (1 - t) * (1 - s) + s / 2, w, v, kept, mark, lowest)

    def losses(self, spec: LossSpec, at: Prepared) -> torch.Tensor:
        """Return the unreduced loss, unrounded."""
        positive, negative = self.formulas.terms(spec, at)
        positive, negative = product(at.y, positive), product(at.rest, negative)
        return finish(at, product(at.w * at.v, positive) + product(at.w, negative))


def wide(spec: LossSpec, input: torch.Tensor) -> torch.dtype:
    """Choose what is computed in, and can hold eps; Apple's GPUs have no float64."""
    narrow = input.dtype == torch.float16 and not 0 < (spec.eps or 0) < 2.0**-126
    return torch.float32 if narrow or input.device.type == "mps" else torch.float64


def finish(at: Prepared, values: torch.Tensor) -> torch.Tensor:
    """Put nan where there is no loss, and 0 where the element is ignored."""
    values = values * at.mark
    return values if at.kept is None else torch.where(at.kept, values, 0.0)


def divisor(spec: LossSpec, at: Prepared) -> Coefficient:
    """Return what the sum is divided by for a mean: nan, if there is nothing to average."""
    if spec.reduction == "mean" and at.kept is None:
        return at.x.numel() or nan
    each = at.w if spec.reduction == "weighted_mean" else 1.0
    if isinstance(each, float):
        each = torch.full_like(at.x, each)
    if at.kept is not None:
        each = torch.where(at.kept, each, 0.0)
    whole = total(each, each.dtype)
    return torch.where(whole == 0, nan, whole)


def total(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Add up, in the order of the elements, to within a rounding of the dtype of the result.

    Where no wider dtype is left, each number is cut in two at a place common to all, so high that the upper
    parts are added exactly, in any order, and so low that the errors of the lower parts do not count.
    (Rump, Ogita, Oishi: Accurate floating-point summation, part I, SIAM J. Sci. Comput. 31, 2008.)
    """
    values = values.contiguous()
    if values.dtype != dtype and values.device.type != "mps":
        return values.sum(dtype=torch.float64)
    if not values.numel():
        return values.sum()
    cut = values.detach().abs().amax() * (4.0 * values.numel())
    upper = (values + torch.where(cut.isfinite(), cut, 0.0)) - torch.where(cut.isfinite(), cut, 0.0)
    sum, rest = upper.sum(), (values - upper).sum()
    return torch.where(rest.isfinite(), sum + rest, sum)


def product(coefficient: Coefficient, term: torch.Tensor) -> torch.Tensor:
    """Multiply, where 0 times inf is 0; the derivative by a coefficient of 0 is the term, if it is finite."""
    if isinstance(coefficient, float):
        return coefficient * term if coefficient else torch.zeros_like(term)
    return coefficient * torch.where((coefficient == 0) & term.isinf(), 0.0, term)


def quotient(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Divide, where 0/0 is 0 and its derivatives are finite."""
    zero = (a == 0) & (b == 0)
    return torch.where(zero, 0.0, a / torch.where(zero, 1.0, b))


BCE: Final = DefinedKernel(Probabilities())
BCE_WITH_LOGITS: Final = DefinedKernel(Logits())
