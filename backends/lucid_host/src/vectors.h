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

// Ask for what will be read soon: a processor by itself stops at the end of a page, and waits while it calculates
inline void read_ahead(const void *from, size_t bytes = 2048) { __builtin_prefetch((const char *)from + bytes); }
inline void write_ahead(void *to) { __builtin_prefetch((char *)to + 2048, 1); }

} // namespace
