// Losses straight from memory, where nothing is ignored or smoothed, and there is no pos_weight: each in one loop, so
// that the processor reads ahead while it calculates.
//
// For whole pieces, of elements of types X and Y. If an element is not for them, false is returned, and what they have
// added or written is not used.
#pragma once

#include "losses.h"

namespace {

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
            const V found = sign * log_of<true, true>(at(hi, j), at(lo, j));
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

// What a loop has seen, as integers: the bits of positive numbers are in order, and those of nan are the largest.
struct Seen {
    I largest = {}, farthest = {}, signs = {}, soft = {}, least = I(all(1.0));

    void see(V x) // a number that is to be between 0 and 1
    {
        largest = I(x) > largest ? I(x) : largest;
        signs |= I(x);
    }

    void see_argument(V x) { least = I(x) < least ? I(x) : least; } // of a logarithm

    void see_logit(V size) { farthest = I(size) > farthest ? I(size) : farthest; }

    bool fit(const Block &b) const
    {
        const I bound = I(all(b.logits ? 0.0 : b.lowest > SAFE ? b.lowest : SAFE)); // `lowest` is at least `eps`
        return !any(U(largest > int64_t(ONE)) | U(signs < 0) | U(soft) << 1 | U(farthest > I(all(FAR))) | U(least < bound));
    }
};

// Each loss, one by one: into memory, or added up
enum Kind { HARD, SOFT, LOGITS };

template <class X, class Y, bool wide, Kind kind, bool weighted, bool stored>
bool direct_losses(const Block &b, const X *xs, const Y *ys, const X *ws, X *losses, Sum &sum)
{
    Seen seen;
    Sum part;
    const V one = all(1.0);
    for (size_t i = 0; i < PIECE; i += WIDTH) {
        read_ahead(xs + i);
        read_ahead(ys + i);
        if (weighted) read_ahead(ws + i);
        if (stored) write_ahead(losses + i);
        const V x = read(xs + i), y = read(ys + i), rest = 1.0 - y, w = weighted ? read(ws + i) : one;
        if (kind == LOGITS) seen.see_logit(abs(x));
        else seen.see(x);
        if (kind == HARD) seen.soft |= I(y * rest);
        else seen.see(y);
        if (kind == HARD) seen.see_argument(abs(x - rest));
        if (kind == SOFT) seen.see_argument(min(x, 1.0 - x));
        const Loss loss = kind == HARD   ? hard_loss<wide, weighted, true>(b, x, rest, w, one)
                          : kind == SOFT ? soft_loss<wide, weighted, true>(b, x, y, rest, w, one)
                                         : logit_loss<wide, weighted>(b, x, y, rest, w, one);
        if (stored) write(losses + i, wide ? loss.hi + or_zero(loss.lo) : loss.hi);
        else if (wide) add_to(at(part.hi, i % LANES), at(part.lo, i % LANES), loss.hi,
                              weighted || kind == LOGITS ? or_zero(loss.lo) : loss.lo);
        else at(part.hi, i % LANES) += loss.hi;
    }
    if (!seen.fit(b)) return false;
    if (!stored) sum.add(part.hi, part.lo, LANES);
    return true;
}

// For hard labels: with t = x - (1 - y), whose sign is the label's, the logarithm of |t|; and the derivative -w/t.
// A nan is in the product, or a soft label.
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
        if (sloped) write_ahead(slopes + i);
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
    Seen seen;
    Sum linear;
    Products products;
    for (size_t i = 0; i < PIECE; i += WIDTH) {
        read_ahead(xs + i);
        read_ahead(ys + i);
        if (sloped) write_ahead(slopes + i);
        const V z = read(xs + i), y = read(ys + i), rest = 1.0 - y, size = abs(z);
        seen.see_logit(size);
        seen.see(y);
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
    if (!seen.fit(b) || !products.add_to_sum(sum, 1.0, wide)) return false;
    sum.add(linear.hi, linear.lo, LANES);
    return true;
}

} // namespace
