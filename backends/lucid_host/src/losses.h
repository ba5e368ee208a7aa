// The losses and their derivatives of a piece: the definition is `lucid.kernels`.
//
// What roundings lose is carried along where the elements are double (`wide`), for which there is no wider dtype.
// Each element's bits depend on nothing but the element: the simpler cases leave out only what changes no bit.
#pragma once

#include "elementary.h"
#include "pieces.h"

namespace {

constexpr double FAR = 700.0; // from here on exp(-|z|) is computed in two halves: it is nearly subnormal

// The product; 0, where the coefficient is, even if the term is infinite
inline V times(V coefficient, V term) { return coefficient == 0.0 ? V{} : coefficient * term; }

// The terms of the loss from probabilities are finite, unless there is no bound but that of the numbers
inline bool bounded(const Block &b) { return !b.logits && b.most < 700.0; }

// A loss and what its rounding has lost
struct Loss { V hi, lo; };

// |x - rest|, which is x for the label 1 and 1 - x for the label 0, and what its rounding has lost
struct Given { V rounded, lost; };

inline Given given(V x, V rest)
{
    const V t = x - rest, lost = x - (t + rest);
    return {abs(t), t < 0.0 ? -lost : lost};
}

constexpr double SAFE = 0x1p-120; // the logarithm of such a number meets no bound, and a product of eight is normal

// -log(x + lost), at most `most`; `safe` promises that x is at least SAFE. The logarithm of 0 comes out as -709 or less.
template <bool wide, bool safe, class... Lost> inline V minus_log(const Block &b, V x, Lost... lost)
{
    const V found = 0.0 - log_of<wide, safe>(x, lost...);
    if (safe) return found;
    const V least = min(found, all(b.most));
    return bounded(b) ? least : x > 0.0 ? least : all(b.most);
}

// What rest has lost if it is 1 - y, rounded. Smoothed labels are rounded themselves.
inline V lost_by(const Block &b, V y, V rest) { return b.smoothing == 0.0 ? (1.0 - rest) - y : V{}; }

// w v y P + w rest N
template <bool wide, bool weighted>
inline Loss combine(const Block &b, V P, V N, V y, V rest, V w, V v)
{
    const bool finite = bounded(b);
    const V up = finite ? y * P : times(y, P), down = finite ? rest * N : times(rest, N);
    V first = up, second = down, lost = {};
    if (weighted) {
        const V c = w * v;
        first = finite ? c * up : times(c, up);
        second = finite ? w * down : times(w, down);
        if (wide) {
            lost = fma(c, up, -first) + fma(w, down, -second) + fma(w, v, -c) * up + c * fma(y, P, -up);
            lost += w * (fma(rest, N, -down) + lost_by(b, y, rest) * N);
        }
    } else if (wide) {
        lost = fma(y, P, -up) + (fma(rest, N, -down) + lost_by(b, y, rest) * N);
    }
    if (!wide) return {first + second, V{}};
    add_to(first, lost, second, V{});
    return {first, lost};
}

template <bool wide, bool weighted, bool safe> inline Loss soft_loss(const Block &b, V x, V y, V rest, V w, V v)
{
    const V q = 1.0 - x, lost = (1.0 - q) - x;
    return combine<wide, weighted>(b, minus_log<wide, safe>(b, x), minus_log<wide, safe>(b, q, lost), y, rest, w, v);
}

template <bool wide, bool weighted, bool safe> inline Loss hard_loss(const Block &b, V x, V rest, V w, V v)
{
    const Given a = given(x, rest);
    const V l = minus_log<wide, safe>(b, a.rounded, a.lost);
    if (!weighted) return {l, V{}};
    const V both = w * v, c = rest == 0.0 ? both : w, loss = bounded(b) ? c * l : times(c, l);
    return {loss, wide ? fma(c, l, -loss) + (rest == 0.0 ? fma(w, v, -both) : V{}) * l : V{}};
}

template <bool wide, bool weighted> inline Loss logit_loss(const Block &b, V z, V y, V rest, V w, V v)
{
    const V size = abs(z), l = log1p_of<wide>(exp_minus<wide>(min(size, all(FAR))));
    return combine<wide, weighted>(b, (z < 0.0 ? size : V{}) + l, (z > 0.0 ? size : V{}) + l, y, rest, w, v);
}

// What is multiplied by two halves, before and after its coefficients: 1 and 1, or exp(-|z|/2) twice
inline V half_beyond(V size) { return precise_exp(min(0.5 * size, all(FAR))); }

// The losses beyond FAR, where the smaller term is exp(-|z|)
template <bool weighted> inline void far_logit_losses(Piece &p)
{
    for (size_t i = 0; i < p.size; i += WIDTH) {
        const V z = at(p.x, i), size = abs(z), half = half_beyond(size), one = all(1.0);
        const V w = weighted ? at(p.w, i) : one, v = weighted ? at(p.v, i) : one;
        const V first = times(w * v, times(at(p.y, i), z < 0.0 ? size : half)) * (z < 0.0 ? one : half);
        const V second = times(w, times(at(p.rest, i), z > 0.0 ? size : half)) * (z > 0.0 ? one : half);
        at(p.hi, i) = size > FAR ? first + second : at(p.hi, i);
        at(p.lo, i) = size > FAR ? V{} : at(p.lo, i);
    }
}

// ---- derivatives by the input; w is the upstream times the weight over the divisor ----

// -w v / p for the label 1, w / (1 - p) for the label 0
template <bool weighted> inline V hard_slope(const Block &b, const Piece &p, size_t i)
{
    const V rest = at(p.rest, i), w = at(p.w, i), a = given(at(p.x, i), rest).rounded;
    const V above = rest == 0.0 ? -(weighted ? w * at(p.v, i) : w) : w;
    return ((a < b.eps) | (above == 0.0)) ? V{} : above / max(a, all(b.lowest)); // 0/0 is 0
}

template <bool weighted> inline void hard_slopes(const Block &b, Piece &p)
{
    for (size_t i = 0; i < p.size; i += WIDTH) at(p.hi, i) = hard_slope<weighted>(b, p, i);
}

// w (p - y) / (p (1 - p)): p - y keeps what w (1-y) / (1-p) - w y / p would cancel
template <bool wide> inline void soft_slopes(const Block &b, Piece &p)
{
    for (size_t i = 0; i < p.size; i += WIDTH) {
        const V x = at(p.x, i), y = at(p.y, i), w = at(p.w, i), low = all(b.lowest);
        const V q = 1.0 - x, q_lost = (1.0 - q) - x;
        const V p_low = max(x, low), q_low = max(q, low), difference = p_low - y;
        const V over = difference - y * ((p_low - x) + (q_low - q));
        const V below = p_low * q_low, ratio = over == 0.0 ? V{} : over / below; // before the weight: it can't underflow
        V slope = times(w, ratio);
        if (wide) {
            const V below_lost = fma(p_low, q_low, -below) + (q_low == q ? p_low * q_lost : V{});
            const V left = fma(-ratio, below, over) + (((p_low - difference) - y) - ratio * below_lost);
            slope += or_zero(fma(w, ratio, -slope) + w * (left / below));
        }
        at(p.hi, i) = ((y == 0.0) | (y == 1.0)) ? hard_slope<false>(b, p, i) : slope;
    }
}

// w (1-y) / (1-p) - w v y / p
template <bool wide> inline void other_slopes(const Block &b, Piece &p)
{
    for (size_t i = 0; i < p.size; i += WIDTH) {
        const V x = at(p.x, i), y = at(p.y, i), rest = at(p.rest, i), w = at(p.w, i), v = at(p.v, i);
        const V q = 1.0 - x, q_lost = (1.0 - q) - x;
        const V p_low = max(x, all(b.lowest)), q_low = max(q, all(b.lowest));
        const I no_up = (q < b.eps) | (rest == 0.0), no_down = (x < b.eps) | (y == 0.0);
        const V up = no_up ? V{} : rest / q_low, down = no_down ? V{} : y / p_low, c = w * v;
        const V first = times(w, up), second = times(c, down);
        V slope = first - second;
        if (wide) {
            const V up_lost = (fma(-up, q_low, rest) + (lost_by(b, y, rest) - (q_low == q ? up * q_lost : V{}))) / q_low;
            const V down_lost = fma(-down, p_low, y) / p_low;
            const V lost = fma(w, up, -first) - fma(c, down, -second) - fma(w, v, -c) * down;
            slope += or_zero(lost + (w * (no_up ? V{} : up_lost) - c * (no_down ? V{} : down_lost)));
        }
        const I hard = b.smoothing == 0.0 ? (y == 0.0) | (y == 1.0) : I{};
        at(p.hi, i) = hard ? hard_slope<true>(b, p, i) : slope;
    }
}

// w (1-y) sigmoid(z) - w v y sigmoid(-z); sigmoid(z) is 1/(1 + d) or d/(1 + d), whichever side z is on
inline V logit_slope(V z, V d, V y, V rest, V w, V w_v)
{
    const V one = all(1.0), up = rest * (z > 0.0 ? one : d), down = y * (z > 0.0 ? d : one);
    return (times(w, up) - times(w_v, down)) / (1.0 + d);
}

template <bool wide, bool weighted> inline void logit_slopes(Piece &p)
{
    for (size_t i = 0; i < p.size; i += WIDTH) {
        const V z = at(p.x, i), w = at(p.w, i), d = exp_minus<wide>(min(abs(z), all(FAR)));
        at(p.hi, i) = logit_slope(z, d, at(p.y, i), at(p.rest, i), w, weighted ? w * at(p.v, i) : w);
    }
}

template <bool weighted> inline void far_logit_slopes(Piece &p)
{
    for (size_t i = 0; i < p.size; i += WIDTH) {
        const V z = at(p.x, i), size = abs(z), half = half_beyond(size), one = all(1.0);
        const V w = at(p.w, i), w_v = weighted ? w * at(p.v, i) : w;
        const V first = times(w, at(p.rest, i) * (z > 0.0 ? one : half)) * (z > 0.0 ? one : half);
        const V second = times(w_v, at(p.y, i) * (z > 0.0 ? half : one)) * (z > 0.0 ? half : one);
        at(p.hi, i) = size > FAR ? first - second : at(p.hi, i);
    }
}

} // namespace
