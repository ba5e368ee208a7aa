// Logarithm and exponential in double.
//
// The logarithm is that of FreeBSD's msun (e_log.c, Ng, 1993): x = 2^k (1 + f) with 1 + f between sqrt(1/2) and
// sqrt(2), s = f/(2 + f), and log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)). It is within 1 ULP.
#pragma once

#include "vectors.h"

namespace {

constexpr double LN2 = 0x1.62e42fefa39efp-1;
constexpr double LN2_HIGH = 0x1.62e42feep-1, LN2_LOW = 0x1.a39ef35793c76p-33; // 32 digits: times an exponent, exact
constexpr double ROUNDS = 0x1.8p52; // adding it rounds to an integer
constexpr uint64_t SQRT_HALF = 0x3fe6a09e667f3bcd, ONE = 0x3ff0000000000000, EXPONENT = 0x7ff0000000000000;

// k log 2 + log(1 + f)
inline V log_of_parts(V k, V f)
{
    // s without a division, which takes longer than all the rest: the parabola is within 1.3e-3 of 1/(2 + f), a step of
    // the third order within 2.2e-9, and what f - s (2 + f) leaves corrects s
    const V below = 2.0 + f, rough = fma(f, fma(f, 0.11686289, -0.25499255), 0.50031925);
    const V error = fma(-below, rough, 1.0), inverse = fma(rough, fma(error, error, error), rough);
    const V near = f * inverse, s = fma(inverse, fma(-near, below, f), near), z = s * s, w = z * z;
    const V even = w * fma(w, fma(w, 1.531383769920937332e-01, 2.222219843214978396e-01), 3.999999999940941908e-01);
    const V odd = z * fma(w, fma(w, fma(w, 1.479819860511658591e-01, 1.818357216161805012e-01), 2.857142874366239149e-01),
                          6.666666666666735130e-01);
    const V half = 0.5 * f * f;
    return fma(k, LN2_HIGH, f - (half - fma(s, half + (even + odd), k * LN2_LOW)));
}

// x = 2^k (1 + f) for positive, normal x
struct Parts { V k, f; };

inline Parts parts_of(V x)
{
    const U i = U(x) + (ONE - SQRT_HALF);
    const V m = V((i & 0x000fffffffffffff) + SQRT_HALF);
    return {V((i >> 52) | 0x4330000000000000) - (0x1p52 + 1023.0), m - 1.0};
}

// The parts of x + lost, where `lost` is far below the last place of x
inline Parts parts_of(V x, V lost)
{
    const Parts p = parts_of(x);
    const V unit = V((2046ULL << 52) - ((U(x) + (ONE - SQRT_HALF)) & EXPONENT)); // 2^-k
    return {p.k, fma(lost, unit, p.f)};
}

// log x for 0 < x, from the parts of x, or of x 2^54 if x is subnormal
inline V normalized(V x) { return x < 0x1p-1022 ? x * 0x1p54 : x; }
inline V precise_log(V x, Parts p) { return log_of_parts(x < 0x1p-1022 ? p.k - 54.0 : p.k, p.f); }

// log(1 + d) for 0 <= d <= 1
inline Parts parts_of_one_plus(V d)
{
    const I large = d > 0.41421356237309503;
    return {large ? all(1.0) : V{}, large ? 0.5 * (d - 1.0) : d};
}

// exp(-h) for 0 <= h <= 708
inline V precise_exp(V h)
{
    const V shifted = fma(h, -1.44269504088896338700, ROUNDS), n = shifted - ROUNDS;
    const V high_r = fma(n, -LN2_HIGH, -h), low_r = n * -LN2_LOW; // the first is exact
    const V r = high_r + low_r, r2 = r * r, r4 = r2 * r2;
    // Taylor's series up to r^13/13!, from r^2/2 on
    const V a = fma(r, 1.0 / 6, 1.0 / 2), b = fma(r, 1.0 / 120, 1.0 / 24), c = fma(r, 1.0 / 5040, 1.0 / 720);
    const V d = fma(r, 1.0 / 362880, 1.0 / 40320), e = fma(r, 1.0 / 39916800, 1.0 / 3628800);
    const V f = fma(r, 1.0 / 6227020800, 1.0 / 479001600);
    const V low = fma(r2, b, a), middle = fma(r2, d, c), high = fma(r2, f, e);
    const V p = 1.0 + (high_r + fma(r2, fma(r4, fma(r4, high, middle), low), low_r));
    return V(U(p) + (U(shifted) << 52));
}

// ---- the same within 1.2e-10 of the result, for what is rounded to a narrower dtype; x is normal ----

inline V rough_log_of_parts(V k, V f)
{
    const V f2 = f * f, f4 = f2 * f2;
    // log(1 + f)/f, interpolated in Chebyshev's points
    const V a = fma(f, -0.5000000030845538, 1.000000000048012), b = fma(f, -0.24999936585814816, 0.3333333084628052);
    const V c = fma(f, -0.16670383652377296, 0.2000016963794254), d = fma(f, -0.12410885665961421, 0.14283798395270253);
    const V g = fma(f, -0.10898112577877182, 0.11042736039719009), h = fma(f, -0.058456713350896375, 0.10636542375579953);
    const V low = fma(f2, b, a), middle = fma(f2, d, c), high = fma(f2, h, g);
    return fma(k, LN2, f * fma(f4, fma(f4, high, middle), low));
}

inline V rough_exp(V h)
{
    const V shifted = fma(h, -1.44269504088896338700, ROUNDS), n = shifted - ROUNDS;
    const V r = fma(n, -LN2, -h), r2 = r * r;
    const V a = fma(r, 1.0 / 6, 1.0 / 2), b = fma(r, 1.0 / 120, 1.0 / 24), c = fma(r, 1.0 / 5040, 1.0 / 720);
    const V d = fma(r, 1.0 / 362880, 1.0 / 40320), low = fma(r2, b, a), high = fma(r2, d, c);
    const V p = 1.0 + fma(r2, fma(r2 * r2, high, low), r);
    return V(U(p) + (U(shifted) << 52));
}

// ---- either ----

// log(x + lost) for 0 < x, where `lost` is far below the last place of x, and 0 where x is subnormal; or, without it, log x
template <bool wide, bool normal, class... Lost> inline V log_of(V x, Lost... lost)
{
    const Parts p = parts_of(normal || !wide ? x : normalized(x), lost...);
    return !wide ? rough_log_of_parts(p.k, p.f) : normal ? log_of_parts(p.k, p.f) : precise_log(x, p);
}
template <bool wide> inline V exp_minus(V h) { return wide ? precise_exp(h) : rough_exp(h); }
template <bool wide> inline V log1p_of(V d)
{
    const Parts p = parts_of_one_plus(d);
    return wide ? log_of_parts(p.k, p.f) : rough_log_of_parts(p.k, p.f);
}

} // namespace
