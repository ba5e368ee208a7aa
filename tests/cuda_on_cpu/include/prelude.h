// What CUDA C++ has and C++ has not, as far as CuPy's kernels and lucid's want it; put before every source.
#pragma once
#if __has_include(<thrust/detail/config/namespace.h>)  // CuPy's; it is for plain C++ as long as it sees no macros
#include <thrust/detail/config/namespace.h>
#endif
#include <math.h>
#include <climits>
#include <cstdint>
#include <cstring>
#include <limits>
#include <tuple>
#include <type_traits>
#include <utility>
#include "launch_abi.h"

#define __CUDACC__ 1
#define __CUDACC_VER_MAJOR__ 12
#define __CUDACC_VER_MINOR__ 9
#define __global__
#define __device__
#define __host__
#define __constant__
#define __shared__ static __attribute__((aligned(16)))  // blocks run one after another
#define __launch_bounds__(...)
#define __noinline__ __attribute__((noinline))
#define __forceinline__ __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))

// ---- where a thread is -------------------------------------------------------------------------

extern "C" { __attribute__((visibility("default"))) StandInContext stand_in_context; }
#define threadIdx (stand_in_context.thread)
#define blockIdx (stand_in_context.block)
#define blockDim (stand_in_context.block_size)
#define gridDim (stand_in_context.grid_size)
static const int warpSize = 32;

static inline unsigned stand_in_thread() {
  return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}

// ---- a kernel's entry point, called on a fiber for each block --------------------------------------

template <auto kernel> struct StandInKernel;
template <class... A, void (*kernel)(A...)> struct StandInKernel<kernel> {
  template <size_t... I> static void run(void** arguments, std::index_sequence<I...>) {
    StandInContext& at = stand_in_context;
    while (at.next < at.threads) {  // a thread that waits suspends this loop, and another fiber carries it on
      unsigned t = at.next++;
      at.thread = {t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y)};
      kernel(*reinterpret_cast<std::remove_cv_t<std::remove_reference_t<A>>*>(arguments[I])...);
    }
  }
  static void run(void** arguments) { run(arguments, std::index_sequence_for<A...>{}); }
};

#define STAND_IN_KERNEL(name, ...)                                                   \
  extern "C" __attribute__((visibility("default"))) void name(void** arguments) {    \
    StandInKernel<&__VA_ARGS__>::run(arguments);                                     \
  }

// ---- barriers and what a warp exchanges -----------------------------------------------------------

static inline void __syncthreads() { stand_in_context.api->barrier(0); }
static inline void __syncwarp(unsigned mask = ~0u) { stand_in_context.api->barrier(mask); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}
static inline void __trap() { stand_in_context.api->trap(); }

template <class T> static inline T stand_in_exchange(unsigned mask, T mine, unsigned lane) {
  static_assert(sizeof(T) <= 16, "too wide for a warp's exchange");
  const StandInApi* api = stand_in_context.api;
  unsigned t = stand_in_thread();
  T theirs;
  std::memcpy(api->slot(t), &mine, sizeof mine);
  api->barrier(mask);
  std::memcpy(&theirs, api->slot((t & ~31u) + lane), sizeof theirs);
  api->barrier(mask);
  return theirs;
}
template <class T> static inline T __shfl_sync(unsigned mask, T mine, int source) {
  return stand_in_exchange(mask, mine, source & 31);
}
template <class T> static inline T __shfl_down_sync(unsigned mask, T mine, unsigned distance) {
  unsigned lane = stand_in_thread() & 31;
  return stand_in_exchange(mask, mine, lane + distance < 32 ? lane + distance : lane);
}
template <class T> static inline T __shfl_xor_sync(unsigned mask, T mine, int bits) {
  return stand_in_exchange(mask, mine, ((stand_in_thread() & 31) ^ bits) & 31);
}
static inline unsigned __ballot_sync(unsigned mask, int vote) {
  const StandInApi* api = stand_in_context.api;
  unsigned t = stand_in_thread(), votes = 0;
  std::memcpy(api->slot(t), &vote, sizeof vote);
  api->barrier(mask);
  for (unsigned lane = 0, live = mask & api->live(t / 32); lane < 32; lane++) {
    if (live >> lane & 1) {
      std::memcpy(&vote, api->slot((t & ~31u) + lane), sizeof vote);
      votes |= unsigned(vote != 0) << lane;
    }
  }
  api->barrier(mask);
  return votes;
}

// ---- atomics: threads take turns only at barriers, so that plain code is atomic ---------------------

#define STAND_IN_ATOMIC(name, result)                                          \
  template <class T> static inline T name(T* at, std::common_type_t<T> value) { \
    T old = *at;                                                               \
    *at = (result);                                                            \
    return old;                                                                \
  }
STAND_IN_ATOMIC(atomicAdd, old + value)
STAND_IN_ATOMIC(atomicExch, value)
STAND_IN_ATOMIC(atomicMin, value < old ? value : old)
STAND_IN_ATOMIC(atomicMax, old < value ? value : old)
STAND_IN_ATOMIC(atomicAnd, old & value)
STAND_IN_ATOMIC(atomicOr, old | value)
template <class T> static inline T atomicCAS(T* at, std::common_type_t<T> expected, std::common_type_t<T> value) {
  T old = *at;
  if (old == expected) *at = value;
  return old;
}

// ---- bits ----------------------------------------------------------------------------------------------

template <class To, class From> static inline To stand_in_bits(From from) {
  static_assert(sizeof(To) == sizeof(From), "bits of another size");
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}
static inline int __float_as_int(float x) { return stand_in_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return stand_in_bits<unsigned>(x); }
static inline float __int_as_float(int n) { return stand_in_bits<float>(n); }
static inline float __uint_as_float(unsigned n) { return stand_in_bits<float>(n); }
static inline long long __double_as_longlong(double x) { return stand_in_bits<long long>(x); }
static inline double __longlong_as_double(long long n) { return stand_in_bits<double>(n); }
static inline int __double2hiint(double x) { return int(__double_as_longlong(x) >> 32); }
static inline int __double2loint(double x) { return int(__double_as_longlong(x)); }
static inline int __clz(int n) { return n ? __builtin_clz(n) : 32; }
static inline int __clzll(long long n) { return n ? __builtin_clzll(n) : 64; }
static inline int __popc(unsigned n) { return __builtin_popcount(n); }
static inline int __popcll(unsigned long long n) { return __builtin_popcountll(n); }
static inline int __ffs(int n) { return __builtin_ffs(n); }
template <class T> static inline T __ldg(const T* at) { return *at; }

// ---- mathematics: CUDA's min and max take mixed types, and return the operand that is not nan ------------

template <class A, class B>
using StandInCommon =
    std::enable_if_t<std::is_arithmetic<A>::value && std::is_arithmetic<B>::value, std::common_type_t<A, B>>;
template <class A, class B> static inline StandInCommon<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point<T>::value) return std::fmax(T(a), T(b));
  else return T(a) < T(b) ? T(b) : T(a);
}
template <class A, class B> static inline StandInCommon<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point<T>::value) return std::fmin(T(a), T(b));
  else return T(b) < T(a) ? T(b) : T(a);
}
using std::abs; using std::fmax; using std::fmin; using std::pow;
using std::isfinite; using std::isinf; using std::isnan; using std::signbit;
static inline float rsqrt(float x) { return 1 / std::sqrt(x); }
static inline double rsqrt(double x) { return 1 / std::sqrt(x); }

// ---- the errors that CUDA's functions may have, in ULPs from the correctly rounded result: -DSTAND_IN_ULPS=1 or -1 ---

#ifdef STAND_IN_ULPS
template <class T> static inline T stand_in_off(long double right, int ulps) {
  T rounded = T(right);
  if (rounded == 0 || rounded == 1 || !std::isfinite(rounded)) return rounded;
  for (; ulps; --ulps) rounded = std::nextafter(rounded, T(STAND_IN_ULPS) * std::numeric_limits<T>::infinity());
  return rounded;
}
#define STAND_IN_OFF(name, float_ulps)                                                                        \
  extern "C" double name(double x) noexcept { return stand_in_off<double>(name##l(x), 1); }                  \
  extern "C" float name##f(float x) noexcept { return stand_in_off<float>(name##l(x), float_ulps); }
STAND_IN_OFF(log, 1)
STAND_IN_OFF(log1p, 1)
STAND_IN_OFF(exp, 2)
#endif
