// Copies of arrays whose elements are not evenly spaced, into the order of C.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <utility>

enum { AXES = 64 }; // NumPy's most

// Where an array is, in bytes; an axis of it is `shape[k]` steps of `strides[k]`
struct Layout {
    const char *data;
    int axes;
    ptrdiff_t shape[AXES], strides[AXES];
};

// A square of elements, whose rows are vectors of 16 bytes
template <class T> struct Square {
    typedef T Row __attribute__((vector_size(16)));
    static constexpr ptrdiff_t N = 16 / sizeof(T);
    Row rows[N];

    // Exchange the off-diagonal squares of `W` elements in each pair of rows that are W apart
    template <ptrdiff_t W, size_t... L> void exchange(std::index_sequence<L...>)
    {
        for (ptrdiff_t i = 0; i < N; i++)
            if (!(i & W)) {
                const Row a = rows[i], b = rows[i + W];
                rows[i] = __builtin_shufflevector(a, b, (L & W ? N + L - W : L)...);
                rows[i + W] = __builtin_shufflevector(a, b, (L & W ? N + L : L + W)...);
            }
    }

    void transpose()
    {
        const auto all = std::make_index_sequence<N>{};
        if constexpr (N > 8) exchange<8>(all);
        if constexpr (N > 4) exchange<4>(all);
        if constexpr (N > 2) exchange<2>(all);
        exchange<1>(all);
    }
};

// Two axes, tile by tile: of the one on which the source lies together (i), and the last one (j). A tile has a line of the
// cache in each direction, and each line is read or written once: many of them may fall on one place of the cache.
template <class T>
static void copy_tiles(const char *from, T *to, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t down, ptrdiff_t right,
                       ptrdiff_t row)
{
    constexpr ptrdiff_t N = Square<T>::N, LINE = 64 / sizeof(T);
    alignas(64) T tile[LINE][LINE];
    for (ptrdiff_t j = 0; j < columns; j += LINE)
        for (ptrdiff_t i = 0; i < rows; i += LINE) {
            const ptrdiff_t height = rows - i < LINE ? rows - i : LINE, width = columns - j < LINE ? columns - j : LINE;
            const char *corner = from + i * down + j * right;
            if (down != sizeof(T) || height < LINE || width < LINE) {
                for (ptrdiff_t m = 0; m < height; m++)
                    for (ptrdiff_t n = 0; n < width; n++)
                        to[(i + m) * row + j + n] = *(const T *)(corner + m * down + n * right);
                continue;
            }
            for (ptrdiff_t n = 0; n < LINE; n += N) {
                for (ptrdiff_t k = 0; k < N; k++) __builtin_prefetch(corner + (n + k + 2 * LINE) * right);
                for (ptrdiff_t m = 0; m < LINE; m += N) {
                    Square<T> square;
                    for (ptrdiff_t k = 0; k < N; k++) memcpy(&square.rows[k], corner + m * down + (n + k) * right, 16);
                    square.transpose();
                    for (ptrdiff_t k = 0; k < N; k++) memcpy(&tile[m + k][n], &square.rows[k], 16);
                }
            }
            for (ptrdiff_t m = 0; m < LINE; m++) memcpy(to + (i + m) * row + j, tile[m], sizeof tile[m]);
        }
}

// Go through the other axes, from the left
template <class T> static void copy_axes(const Layout &from, int tight, int axis, const char *source, T *&to, ptrdiff_t row)
{
    const int last = from.axes - 1;
    if (axis == tight) axis++;
    if (axis >= last) {
        copy_tiles(source, to, tight < last ? from.shape[tight] : 1, from.shape[last],
                   tight < last ? from.strides[tight] : 0, from.strides[last], row);
        return;
    }
    ptrdiff_t step = 1; // of the target
    for (int k = axis + 1; k <= last; k++) step *= from.shape[k];
    T *const start = to;
    for (ptrdiff_t n = 0; n < from.shape[axis]; n++) {
        to = start + n * step;
        copy_axes(from, tight, axis + 1, source + n * from.strides[axis], to, row);
    }
    to = start;
}

template <class T> static void gather(const Layout &from, void *to)
{
    const int last = from.axes - 1;
    int tight = last;
    for (int k = 0; k < last; k++) {
        const ptrdiff_t a = from.strides[k] < 0 ? -from.strides[k] : from.strides[k];
        const ptrdiff_t b = from.strides[tight] < 0 ? -from.strides[tight] : from.strides[tight];
        if (a < b && from.shape[k] > 1) tight = k;
    }
    ptrdiff_t row = 1;
    for (int k = tight + 1; k <= last; k++) row *= from.shape[k];
    T *target = (T *)to;
    copy_axes<T>(from, tight, 0, from.data, target, row);
}
