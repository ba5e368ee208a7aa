// A block of elements, piece by piece.
//
// Compiled once for each instruction set, under another name; each gives the same bits, since compilers may contract
// nothing here, and the order of additions does not depend on a vector's width.
#include "direct.h"

namespace {

// Load a piece, and put harmless elements where the result is decided without them
void prepare(const Block &b, Piece &p, size_t start)
{
    load(p.x, b.x, start, p.size);
    load(p.y, b.y, start, p.size);
    if (p.weighted) {
        load(p.w, b.w, start, p.size);
        load(p.v, b.v, start, p.size);
    }
    const double low = b.logits ? -INF : 0.0, high = b.logits ? INF : 1.0;
    for (size_t i = p.size; i % WIDTH; i++) p.x[i] = p.y[i] = p.w[i] = p.v[i] = 1.0;
    const auto classify = [&] {
        I inside = ~I{}, hard = ~I{};
        for (size_t i = 0; i < p.size; i += WIDTH) {
            const V x = at(p.x, i), y = at(p.y, i);
            inside &= (x >= low) & (x <= high) & (y >= 0.0) & (y <= 1.0);
            hard &= (y == 0.0) | (y == 1.0);
            at(p.x, i) = x + 0.0; // -0 is 0
            at(p.rest, i) = 1.0 - y;
        }
        p.hard = !any(U(~hard)) && b.smoothing == 0.0;
        return !any(U(~inside));
    };
    p.spoilt = b.ignores || !classify();
    if (p.spoilt) {
        for (size_t i = 0; i < p.size; i++) {
            const double x = p.x[i], y = p.y[i];
            p.ignored[i] = b.ignores && y == b.ignored;
            p.bad[i] = !p.ignored[i] && !(x >= low && x <= high && y >= 0.0 && y <= 1.0);
            if (p.ignored[i] || p.bad[i]) {
                p.x[i] = 0.5;
                p.y[i] = 0.0;
            }
        }
        classify();
    }
    if (const double s = b.smoothing)
        for (size_t i = 0; i < p.size; i += WIDTH) {
            at(p.y, i) = at(p.y, i) * (1.0 - s) + s / 2;
            at(p.rest, i) = at(p.rest, i) * (1.0 - s) + s / 2;
        }
}

// Put 0 where an element is ignored, and beyond the last one, and nan where it has no loss
void finish(Piece &p)
{
    for (size_t i = p.size; i % WIDTH; i++) p.hi[i] = p.lo[i] = 0.0;
    if (!p.spoilt) return;
    for (size_t i = 0; i < p.size; i++)
        if (p.ignored[i] || p.bad[i]) {
            p.hi[i] = p.ignored[i] ? 0.0 : __builtin_nan("");
            p.lo[i] = 0.0;
        }
}

bool any_far(const Piece &p)
{
    I far = {};
    for (size_t i = 0; i < p.size; i += WIDTH) far |= abs(at(p.x, i)) > FAR;
    return any(U(far));
}

template <bool wide, bool weighted> void losses(const Block &b, Piece &p)
{
    const auto each = [&p](auto loss) {
        for (size_t i = 0; i < p.size; i += WIDTH) {
            const Loss found = loss(at(p.x, i), at(p.y, i), at(p.rest, i), at(p.w, i), at(p.v, i));
            at(p.hi, i) = found.hi;
            at(p.lo, i) = found.lo;
        }
    };
    if (b.logits) {
        each([&b](V z, V y, V rest, V w, V v) { return logit_loss<wide, weighted>(b, z, y, rest, w, v); });
        if (any_far(p)) far_logit_losses<weighted>(p);
    } else if (p.hard) {
        each([&b](V x, V, V rest, V w, V v) { return hard_loss<wide, weighted, false>(b, x, rest, w, v); });
    } else {
        each([&b](V x, V y, V rest, V w, V v) { return soft_loss<wide, weighted, false>(b, x, y, rest, w, v); });
    }
    finish(p);
}

template <bool wide, bool weighted> void slopes(const Block &b, Piece &p, size_t start)
{
    if (b.upstream.data) load(p.hi, b.upstream, start, p.size);
    for (size_t i = 0; i < p.size; i += WIDTH) {
        const V upstream = b.upstream.data ? at(p.hi, i) : all(b.upstream.number);
        at(p.w, i) = (weighted ? at(p.w, i) * upstream : upstream) / b.divisor;
    }
    if (b.logits) {
        logit_slopes<wide, weighted>(p);
        if (any_far(p)) far_logit_slopes<weighted>(p);
    } else if (p.hard) {
        hard_slopes<weighted>(b, p);
    } else if ((b.v.data || b.v.number != 1.0) || b.smoothing != 0.0 || b.eps != 0.0) {
        if (!weighted)
            for (size_t i = 0; i < p.size; i += WIDTH) at(p.v, i) = all(1.0);
        other_slopes<wide>(b, p);
    } else {
        soft_slopes<wide>(b, p);
    }
    finish(p);
}

void count(const Block &b, Piece &p, Sum &sum)
{
    for (size_t i = 0; i < p.size; i++) {
        p.hi[i] = p.spoilt && p.ignored[i] ? 0.0 : !b.by_weight ? 1.0 : p.weighted ? p.w[i] : 1.0;
        p.lo[i] = 0.0;
    }
    for (size_t i = p.size; i % WIDTH; i++) p.hi[i] = p.lo[i] = 0.0;
    sum.add(p.hi, p.lo, p.size);
}

// What has been done straight from memory
struct Done { bool losses, slopes; };

template <class X, class Y, bool wide>
Done directly(const Block &b, const X *xs, const Y *ys, const X *ws, X *losses, X *slopes, Sum &sum)
{
    const auto each = [&](auto kind) {
        constexpr Kind K = decltype(kind)::value;
        if (losses) return ws ? direct_losses<X, Y, wide, K, true, true>(b, xs, ys, ws, losses, sum)
                              : direct_losses<X, Y, wide, K, false, true>(b, xs, ys, ws, losses, sum);
        return ws ? direct_losses<X, Y, wide, K, true, false>(b, xs, ys, ws, losses, sum)
                  : direct_losses<X, Y, wide, K, false, false>(b, xs, ys, ws, losses, sum);
    };
    const bool plain = b.add && !ws;
    if (b.logits) {
        if (!plain) return {each(std::integral_constant<Kind, LOGITS>{}), false};
        const bool done = slopes ? direct_logits<X, Y, wide, true>(b, xs, ys, slopes, sum)
                                 : direct_logits<X, Y, wide, false>(b, xs, ys, slopes, sum);
        return {done, done};
    }
    bool hard = true;
    for (size_t i = 0; i < 8; i++) hard &= ys[i] == 0 || ys[i] == 1;
    if (hard && plain && (slopes ? direct_probabilities<X, Y, wide, true>(b, xs, ys, slopes, sum)
                                 : direct_probabilities<X, Y, wide, false>(b, xs, ys, slopes, sum)))
        return {true, true};
    return {(hard && each(std::integral_constant<Kind, HARD>{})) || each(std::integral_constant<Kind, SOFT>{}), false};
}

// Straight from memory, if the elements are of types that are common; or else after loading them
template <bool wide> Done direct(const Block &b, Piece &p, size_t start, Sum &sum)
{
    typedef typename std::conditional<wide, double, float>::type X;
    const bool bytes = b.y.kind == 'B' || b.y.kind == '?';
    const bool common = b.x.kind != 'e' && (b.y.kind == b.x.kind || bytes) && (!b.w.data || b.w.kind == b.x.kind);
    if (common && b.x.stride == 1 && b.y.stride == 1 && (!b.w.data || b.w.stride == 1)) {
        const X *xs = (const X *)b.x.data + start, *ws = b.w.data ? (const X *)b.w.data + start : nullptr;
        X *losses = b.losses ? (X *)b.losses + start : nullptr, *slopes = b.slopes ? (X *)b.slopes + start : nullptr;
        return bytes ? directly<X, uint8_t, wide>(b, xs, (const uint8_t *)b.y.data + start, ws, losses, slopes, sum)
                     : directly<X, X, wide>(b, xs, (const X *)b.y.data + start, ws, losses, slopes, sum);
    }
    load(p.x, b.x, start, PIECE);
    load(p.y, b.y, start, PIECE);
    if (b.w.data) load(p.w, b.w, start, PIECE);
    const Done done = directly<double, double, wide>(b, p.x, p.y, b.w.data ? p.w : nullptr, b.losses ? p.lo : nullptr,
                                                     b.slopes ? p.hi : nullptr, sum);
    if (done.losses && b.losses) store(b.losses, b.x.kind, p.lo, start, PIECE);
    if (done.slopes && b.slopes) store(b.slopes, b.x.kind, p.hi, start, PIECE);
    return done;
}

template <bool wide, bool weighted> void run(Block &b)
{
    Piece p;
    Sum sum, counted;
    p.weighted = weighted;
    const bool options = !(b.losses || b.add) || b.ignores || b.by_weight || b.smoothing != 0.0 || b.upstream.data || b.v.data || b.v.number != 1.0
                         || (!b.w.data && b.w.number != 1.0);
    for (size_t start = 0; start < b.size; start += PIECE) {
        p.size = b.size - start < PIECE ? b.size - start : PIECE;
        const Done done = !options && p.size == PIECE ? direct<wide>(b, p, start, sum) : Done{};
        const bool losses_left = (b.losses || b.add) && !done.losses, slopes_left = b.slopes && !done.slopes;
        if (!losses_left && !slopes_left) continue;
        prepare(b, p, start);
        if (losses_left) {
            losses<wide, weighted>(b, p);
            if (b.add) sum.add(p.hi, p.lo, p.size);
            if (b.losses) {
                if (wide)
                    for (size_t i = 0; i < p.size; i += WIDTH) at(p.hi, i) += or_zero(at(p.lo, i));
                store(b.losses, b.x.kind, p.hi, start, p.size);
            }
        }
        if (b.ignores || b.by_weight) count(b, p, counted);
        if (slopes_left) {
            slopes<wide, weighted>(b, p, start);
            store(b.slopes, b.x.kind, p.hi, start, p.size);
        }
    }
    sum.total(b.sum, b.sum_lost);
    counted.total(b.count, b.count_lost);
}

} // namespace

extern "C" void BLOCK_FUNCTION(Block &b)
{
    const bool weighted = b.w.data || b.w.number != 1.0 || b.v.data || b.v.number != 1.0;
    if (b.x.kind == 'd') weighted ? run<true, true>(b) : run<true, false>(b);
    else weighted ? run<false, true>(b) : run<false, false>(b);
}
