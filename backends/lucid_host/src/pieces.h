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

// ---- between a block and its pieces ----

template <class T> inline double widened(T value) { return (double)value; }

template <class T> void copy(double *__restrict to, const Operand &operand, size_t start, size_t size)
{
    const ptrdiff_t stride = operand.stride, width = (ptrdiff_t)sizeof(T) * (stride < 0 ? -stride : stride);
    for (size_t done = 0; done < size; done += LANES, to += LANES) {
        const T *from = (const T *)operand.data + (ptrdiff_t)(start + done) * stride;
        const size_t n = size - done < LANES ? size - done : LANES;
        for (size_t i = 0; i < n && width; i += width < 64 ? 64 / width : 1)
            read_ahead(from + (ptrdiff_t)(i + PIECE) * stride, 0);
        if (stride == 1 && sizeof(T) == 2 && n == LANES) // which compilers make vectors of everything but float16
            for (size_t i = 0; i < n; i += WIDTH) at(to, i) = read(from + i);
        else if (stride == 1)
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
    else {
        Half *const halves = (Half *)to + start;
        size_t i = 0;
        for (; i + WIDTH <= size; i += WIDTH) write(halves + i, at(from, i));
        for (; i < size; i++) halves[i] = to_half(from[i]);
    }
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
