// Losses straight from memory, where nothing is ignored or smoothed, and there is no pos_weight: each in one loop, so
// that the processor reads ahead while it calculates.
//
// For whole pieces, of elements of types X and Y. If an element is not for them, false is returned, and what they have
// added or written is not used.
#pragma once

#include "losses.h"

namespace {

constexpr double SAFE = 0x1p-120;   // a product of eight such numbers is normal, and no logarithm meets its bound
constexpr double PRECISE = 1.2e-4;  // from here on what a piece's products lose, at most 1.2e-13, is nothing in a float

// Products of a piece's numbers, and what they have lost
struct Products {
    alignas(64) double hi[LANES], lo[LANES];

    Products()
    {
        for (size_t j = 0; j < LANES; j += WIDTH) {
            at(hi, j) = all(1.0);
            at(lo, j) = V{};
        }
    }

    template <bool wide> void multiply(size_t i, V a, V lost)
    {
        V &h = at(hi, i % LANES), &l = at(lo, i % LANES);
        const V product = h * a;
        if (wide) l = fma(l, a, fma(h, lost, fma(h, a, -product)));
        h = product;
    }

    // Add the logarithms
    bool add_to_sum(Sum &sum, double sign, bool wide)
    {
        V whole = {};
        for (size_t j = 0; j < LANES; j += WIDTH) {
            const V found = sign * precise_log(at(hi, j), at(lo, j));
            whole += found;
            at(hi, j) = found;
            at(lo, j) = V{};
        }
        double added = 0;
        for (size_t j = 0; j < WIDTH; j++) added += whole[j];
        if (!(wide ? added == added : added >= PRECISE)) return false;
        sum.add(hi, lo, LANES);
        return true;
    }
};

// What a loop has seen. As integers, the bits of positive numbers are in order.
struct Seen {
    I largest = {}, signs = {}, soft = {};

    void see(V x)
    {
        const I bits = I(x);
        largest = bits > largest ? bits : largest;
        signs |= bits;
    }

    // Whether all of them are between 0 and 1; -0 is not
    bool inside() const { return !any(U(largest > int64_t(ONE)) | U(signs < 0)); }
};

// Each loss, one by one: into memory, or added up
enum Kind { HARD, SOFT, LOGITS };

template <class X, class Y, bool wide, Kind kind, bool weighted, bool stored>
bool direct_losses(const Block &b, const X *xs, const Y *ys, const X *ws, X *losses, Sum &sum)
{
    Seen seen;
    I farthest = {}; // as bits; nan is farther than any
    Sum part;
    const V one = all(1.0);
    for (size_t i = 0; i < PIECE; i += WIDTH) {
        read_ahead(xs + i);
        read_ahead(ys + i);
        if (weighted) read_ahead(ws + i);
        const V x = read(xs + i), y = read(ys + i), rest = 1.0 - y, w = weighted ? read(ws + i) : one;
        if (kind == LOGITS) farthest = I(abs(x)) > farthest ? I(abs(x)) : farthest;
        else seen.see(x);
        if (kind == HARD) seen.soft |= I(y * rest);
        else seen.see(y);
        const Loss loss = kind == HARD   ? hard_loss<wide, weighted>(b, x, rest, w, one)
                          : kind == SOFT ? soft_loss<wide, weighted>(b, x, y, rest, w, one)
                                         : logit_loss<wide, weighted>(b, x, y, rest, w, one);
        if (stored) write(losses + i, wide ? loss.hi + or_zero(loss.lo) : loss.hi);
        else if (wide) add_to(at(part.hi, i % LANES), at(part.lo, i % LANES), loss.hi, or_zero(loss.lo));
        else at(part.hi, i % LANES) += loss.hi;
    }
    if (!seen.inside() || any(U(seen.soft) << 1) || any(U(V(farthest) <= FAR) + 1)) return false;
    if (!stored) sum.add(part.hi, part.lo, LANES);
    return true;
}

// For hard labels: with t = x - (1 - y), whose sign is the label's, the logarithm of |t|; and the derivative -w/t
template <class X, class Y, bool wide, bool sloped>
bool direct_probabilities(const Block &b, const X *xs, const Y *ys, X *slopes, Sum &sum)
{
    const double w = b.upstream.number / b.divisor;
    V least = all(1.0), most = all(0.0);
    I soft = {}, negative = {};
    Products products;
    for (size_t i = 0; i < PIECE; i += WIDTH) {
        read_ahead(xs + i);
        read_ahead(ys + i);
        const V x = read(xs + i), y = read(ys + i), rest = 1.0 - y, sign = y - rest, t = x - rest, a = t * sign;
        soft |= I(y * rest);
        negative |= I(x);
        least = min(a, least);
        most = max(a, most);
        products.multiply<wide>(i, a, (x - (t + rest)) * sign);
        if (sloped) write(slopes + i, -w / t);
    }
    const double bound = b.lowest > SAFE ? b.lowest : SAFE; // and `lowest` is at least `eps`
    const U outside = U(least < bound) | U(most > 1.0) | (U(soft) << 1) | (U(negative) >> 63);
    return !any(outside) && products.add_to_sum(sum, -1.0, wide);
}

// log1p(exp(-|z|)) and, one by one, (1 - y) z or -y z; and the derivative
template <class X, class Y, bool wide, bool sloped>
bool direct_logits(const Block &b, const X *xs, const Y *ys, X *slopes, Sum &sum)
{
    const V w = all(b.upstream.number / b.divisor);
    V farthest = {}, least = {}, most = {};
    Sum linear;
    Products products;
    for (size_t i = 0; i < PIECE; i += WIDTH) {
        read_ahead(xs + i);
        read_ahead(ys + i);
        const V z = read(xs + i), y = read(ys + i), rest = 1.0 - y, size = abs(z);
        farthest = max(size, farthest);
        least = min(y, least);
        most = max(y, most);
        const V d = exp_minus<wide>(min(size, all(FAR))), u = 1.0 + d, c = z > 0.0 ? rest : y, term = c * size;
        const size_t lane = i % LANES;
        if (wide) {
            const V lost = fma(c, size, -term) + (z > 0.0 ? (1.0 - rest) - y : V{}) * size;
            add_to(at(linear.hi, lane), at(linear.lo, lane), term, lost);
        } else {
            at(linear.hi, lane) += term;
        }
        products.multiply<wide>(i, u, d - (u - 1.0));
        if (sloped) write(slopes + i, logit_slope(z, d, y, rest, w, w));
    }
    if (any(U(farthest > FAR) | U(least < 0.0) | U(most > 1.0)) || !products.add_to_sum(sum, 1.0, wide)) return false;
    sum.add(linear.hi, linear.lo, LANES);
    return true;
}

} // namespace
