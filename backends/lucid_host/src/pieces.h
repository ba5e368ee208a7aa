// Pieces of a block: loaded, widened to double in the first-level cache, and stored; and sums of them.
#pragma once

#include "block.h"
#include "vectors.h"

namespace {

constexpr size_t PIECE = 512, LANES = 64; // multiples of all widths: no result depends on the width

struct Piece {
    alignas(64) double x[PIECE], y[PIECE], rest[PIECE], w[PIECE], v[PIECE]; // rest is 1 - y
    alignas(64) double hi[PIECE], lo[PIECE]; // results, and what their roundings have lost
    bool ignored[PIECE], bad[PIECE];
    size_t size;   // what is beyond it is worked on too, up to a vector's end, and not used
    bool weighted; // whether w and v are to be looked at
    bool spoilt;   // whether `ignored` and `bad` are
    bool hard;     // whether each label is 0 or 1
};

// ---- float16 ----

inline double from_half(uint16_t h)
{
    const uint32_t size = h & 0x7fffu;
    const uint32_t bits = (size << 13) + (size >= 0x7c00u ? 0x70000000u : 0x38000000u);
    float normal;
    memcpy(&normal, &bits, sizeof normal);
    const float value = size < 0x400u ? (float)size * 0x1p-24f : normal;
    return h & 0x8000u ? -value : value;
}

inline uint16_t to_half(double x)
{
    uint64_t all, small;
    const double size = __builtin_fabs(x), shifted = size + 0x1.8p28; // the last place of the sum is 2^-24
    memcpy(&all, &x, sizeof all);
    memcpy(&small, &shifted, sizeof small);
    const uint64_t bits = all & 0x7fffffffffffffff, sign = (all >> 48) & 0x8000;
    const uint64_t normal = ((bits + 0x1ffffffffff + ((bits >> 42) & 1)) >> 42) - (1008 << 10);
    const uint64_t value = size >= 65520.0 ? 0x7c00 : size < 0x1p-14 ? small & 0x7ff : normal;
    return (uint16_t)(sign | (size == size ? value : 0x7e00));
}

// ---- between a block and its pieces ----

template <class T> inline double widened(T value) { return (double)value; }
struct Half { uint16_t bits; };
template <> inline double widened<Half>(Half value) { return from_half(value.bits); }

template <class T> void copy(double *__restrict to, const Operand &operand, size_t start, size_t size)
{
    const ptrdiff_t stride = operand.stride, width = (ptrdiff_t)sizeof(T) * (stride < 0 ? -stride : stride);
    for (size_t done = 0; done < size; done += LANES, to += LANES) {
        const T *from = (const T *)operand.data + (ptrdiff_t)(start + done) * stride;
        const size_t n = size - done < LANES ? size - done : LANES;
        for (size_t i = 0; i < n && width; i += width < 64 ? 64 / width : 1)
            read_ahead(from + (ptrdiff_t)(i + PIECE) * stride, 0);
        if (stride == 1)
            for (size_t i = 0; i < n; i++) to[i] = widened(from[i]);
        else if (stride == 2) // of which compilers make vectors, too
            for (size_t i = 0; i < n; i++) to[i] = widened(from[2 * i]);
        else
            for (size_t i = 0; i < n; i++) to[i] = widened(from[(ptrdiff_t)i * stride]);
    }
}

void load(double *__restrict to, const Operand &from, size_t start, size_t size)
{
    switch (from.data ? from.kind : 0) {
    case 0:
        for (size_t i = 0; i < size; i++) to[i] = from.number;
        break;
    case 'e': return copy<Half>(to, from, start, size);
    case 'd': return copy<double>(to, from, start, size);
    case 'f': return copy<float>(to, from, start, size);
    case '?': case 'B': return copy<unsigned char>(to, from, start, size);
    case 'b': return copy<signed char>(to, from, start, size);
    case 'H': return copy<unsigned short>(to, from, start, size);
    case 'h': return copy<short>(to, from, start, size);
    case 'I': return copy<unsigned int>(to, from, start, size);
    case 'i': return copy<int>(to, from, start, size);
    case 'L': return copy<unsigned long>(to, from, start, size);
    case 'l': return copy<long>(to, from, start, size);
    case 'Q': return copy<unsigned long long>(to, from, start, size);
    case 'q': return copy<long long>(to, from, start, size);
    }
}

void store(void *to, char kind, const double *__restrict from, size_t start, size_t size)
{
    if (kind == 'd')
        memcpy((double *)to + start, from, size * sizeof(double));
    else if (kind == 'f')
        for (size_t i = 0; i < size; i++) ((float *)to)[start + i] = (float)from[i];
    else
        for (size_t i = 0; i < size; i++) ((uint16_t *)to)[start + i] = to_half(from[i]);
}

// ---- sums ----

// Add b, which has lost `lost`; what the sum loses in turn is kept (Knuth's two-sum)
template <class T> inline void add_to(T &hi, T &lo, T b, T lost)
{
    const T both = hi + b, part = both - hi;
    lo += (hi - (both - part)) + (b - part) + lost;
    hi = both;
}

struct Sum {
    alignas(64) double hi[LANES] = {}, lo[LANES] = {};

    // Add so many numbers, up to a vector's end
    void add(const double *his, const double *los, size_t size)
    {
        for (size_t i = 0; i < size; i += WIDTH)
            add_to(at(hi, i % LANES), at(lo, i % LANES), at(his, i), or_zero(at(los, i)));
    }

    void total(double &whole, double &lost) const
    {
        whole = lost = 0;
        for (size_t i = 0; i < LANES; i++) add_to(whole, lost, hi[i], lo[i]);
        if (lost - lost != 0) lost = 0;
    }
};

} // namespace
