// A vector of doubles, as wide as the processor's, and what C++ has no operator for.
//
// GCC's and Clang's own vectors: arithmetic, comparison and ?: are theirs, element by element.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#if defined(__AVX512F__)
#include <immintrin.h>
constexpr size_t WIDTH = 8;
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
constexpr size_t WIDTH = 4;
#else
constexpr size_t WIDTH = 2;
#endif

namespace {

template <class T> struct VectorOf { typedef T type __attribute__((vector_size(WIDTH * sizeof(T)))); };

typedef VectorOf<double>::type V;
typedef VectorOf<int64_t>::type I; // what a comparison gives: all bits or none
typedef VectorOf<uint64_t>::type U;

constexpr double INF = __builtin_inf();

inline V all(double x) { return V{} + x; }
inline V abs(V x) { return V(U(x) & 0x7fffffffffffffffULL); }
inline V or_zero(V x) { return x - x == 0.0 ? x : V{}; } // 0 for inf and nan

// min and max give b if either is nan; fma is a b + c, rounded once. Compilers don't find the instructions by themselves
// in all cases.
#if defined(__AVX512F__)
inline V min(V a, V b) { return (V)_mm512_min_pd((__m512d)a, (__m512d)b); }
inline V max(V a, V b) { return (V)_mm512_max_pd((__m512d)a, (__m512d)b); }
inline V fma(V a, V b, V c) { return (V)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c); }
#elif defined(__AVX2__) && defined(__FMA__)
inline V min(V a, V b) { return (V)_mm256_min_pd((__m256d)a, (__m256d)b); }
inline V max(V a, V b) { return (V)_mm256_max_pd((__m256d)a, (__m256d)b); }
inline V fma(V a, V b, V c) { return (V)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c); }
#else
inline V min(V a, V b) { return a < b ? a : b; }
inline V max(V a, V b) { return a > b ? a : b; }
inline V fma(V a, V b, V c)
{
    V result;
    for (size_t i = 0; i < WIDTH; i++) result[i] = __builtin_fma(a[i], b[i], c[i]);
    return result;
}
#endif
inline V fma(V a, double b, V c) { return fma(a, all(b), c); }
inline V fma(V a, double b, double c) { return fma(a, all(b), all(c)); }
inline V fma(V a, V b, double c) { return fma(a, b, all(c)); }

inline bool any(U bits)
{
    uint64_t found = 0;
    for (size_t i = 0; i < WIDTH; i++) found |= bits[i];
    return found != 0;
}

// ---- between memory and vectors ----

inline V &at(double *aligned, size_t i) { return *(V *)(aligned + i); }
inline const V &at(const double *aligned, size_t i) { return *(const V *)(aligned + i); }

template <class T> inline V read(const T *from)
{
    typename VectorOf<T>::type values;
    memcpy(&values, from, sizeof values);
    return __builtin_convertvector(values, V);
}
#if defined(__AVX512F__)
template <> inline V read<float>(const float *from) { return (V)_mm512_cvtps_pd(_mm256_loadu_ps(from)); }
template <> inline V read<uint8_t>(const uint8_t *from)
{
    return (V)_mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)from)));
}
#elif defined(__AVX2__) && defined(__FMA__)
template <> inline V read<uint8_t>(const uint8_t *from)
{
    int32_t values;
    memcpy(&values, from, sizeof values);
    return (V)_mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_cvtsi32_si128(values)));
}
#endif

template <class T> inline void write(T *to, V from)
{
    const auto values = __builtin_convertvector(from, typename VectorOf<T>::type);
    memcpy(to, &values, sizeof values);
}
#if defined(__AVX512F__)
template <> inline void write<float>(float *to, V from) { _mm256_storeu_ps(to, _mm512_cvtpd_ps((__m512d)from)); }
#endif

// ---- float16 ----

struct Half { uint16_t bits; };

inline double widened(Half h)
{
    const uint32_t size = h.bits & 0x7fffu;
    const uint32_t bits = (size << 13) + (size >= 0x7c00u ? 0x70000000u : 0x38000000u);
    float normal;
    memcpy(&normal, &bits, sizeof normal);
    const float value = size < 0x400u ? (float)size * 0x1p-24f : normal;
    return h.bits & 0x8000u ? -value : value;
}

inline Half to_half(double x)
{
    uint64_t all, small;
    const double size = __builtin_fabs(x), shifted = size + 0x1.8p28; // the last place of the sum is 2^-24
    memcpy(&all, &x, sizeof all);
    memcpy(&small, &shifted, sizeof small);
    const uint64_t bits = all & 0x7fffffffffffffff, sign = (all >> 48) & 0x8000;
    const uint64_t normal = ((bits + 0x1ffffffffff + ((bits >> 42) & 1)) >> 42) - (1008 << 10);
    const uint64_t value = size >= 65520.0 ? 0x7c00 : size < 0x1p-14 ? small & 0x7ff : normal;
    return {(uint16_t)(sign | (size == size ? value : 0x7e00))};
}

// The processor converts between float and float16. What is cut off from a double on the way leaves its mark in the last
// place of the float, so that the float16 is rounded once.
inline V cut_to_float(V x)
{
    const U bits = U(x), rest = bits & 0x1fffffff;
    return V((bits & ~0x1fffffffULL) | (rest != 0 ? U{} + 0x20000000 : U{}));
}
#if defined(__AVX512F__)
template <> inline V read<Half>(const Half *from)
{
    return (V)_mm512_cvtps_pd(_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)from)));
}
template <> inline void write<Half>(Half *to, V from)
{
    _mm_storeu_si128((__m128i *)to, _mm256_cvtps_ph(_mm512_cvtpd_ps((__m512d)cut_to_float(from)), 0));
}
#elif defined(__AVX2__) && defined(__FMA__)
template <> inline V read<Half>(const Half *from)
{
    return (V)_mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64((const __m128i *)from)));
}
template <> inline void write<Half>(Half *to, V from)
{
    _mm_storel_epi64((__m128i *)to, _mm_cvtps_ph(_mm256_cvtpd_ps((__m256d)cut_to_float(from)), 0));
}
#else
template <> inline V read<Half>(const Half *from)
{
    V result;
    for (size_t i = 0; i < WIDTH; i++) result[i] = widened(from[i]);
    return result;
}
template <> inline void write<Half>(Half *to, V from)
{
    for (size_t i = 0; i < WIDTH; i++) to[i] = to_half(from[i]);
}
#endif

// ---- the memory ----

// Ask for what will be read soon: a processor by itself stops at the end of a page, and waits while it calculates
inline void read_ahead(const void *from, size_t bytes = 2048) { __builtin_prefetch((const char *)from + bytes); }
inline void write_ahead(void *to) { __builtin_prefetch((char *)to + 2048, 1); }

} // namespace
