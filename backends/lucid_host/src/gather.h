// Copies of arrays whose elements are not evenly spaced, into the order of C.
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { AXES = 64 }; // NumPy's most

// Where an array is, in bytes; an axis of it is `shape[k]` steps of `strides[k]`
struct Layout {
    const char *data;
    int axes;
    ptrdiff_t shape[AXES], strides[AXES];
};

// Two axes, tile by tile: of the one on which the source lies together (i), and the last one (j). A tile reads whole lines
// of the cache, few enough at a time that none is lost to another, as they may all fall on one place of it.
template <class T>
static void copy_tiles(const char *from, T *to, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t down, ptrdiff_t right,
                       ptrdiff_t row)
{
    constexpr ptrdiff_t TALL = 64 / sizeof(T), WIDE = 8, AHEAD = 4 * WIDE;
    for (ptrdiff_t j = 0; j < columns; j += WIDE)
        for (ptrdiff_t i = 0; i < rows; i += TALL) {
            const ptrdiff_t height = rows - i < TALL ? rows - i : TALL, width = columns - j < WIDE ? columns - j : WIDE;
            const char *corner = from + i * down + j * right;
            for (ptrdiff_t n = 0; n < width; n++) __builtin_prefetch(corner + (n + AHEAD) * right);
            T *target = to + i * row + j;
            if (width == WIDE)
                for (ptrdiff_t m = 0; m < height; m++)
                    for (ptrdiff_t n = 0; n < WIDE; n++) target[m * row + n] = *(const T *)(corner + m * down + n * right);
            else
                for (ptrdiff_t m = 0; m < height; m++)
                    for (ptrdiff_t n = 0; n < width; n++) target[m * row + n] = *(const T *)(corner + m * down + n * right);
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
