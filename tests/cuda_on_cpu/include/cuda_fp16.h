// What CuPy's float16.cuh and lucid's kernels use of <cuda_fp16.h>.
#pragma once
struct __half_raw { unsigned short x; };
struct __half {
  _Float16 value;
  __half() = default;
  __half(const __half_raw& raw) : value(stand_in_bits<_Float16>(raw.x)) {}
  template <class T, class = std::enable_if_t<std::is_arithmetic<T>::value>> __half(T number) : value(number) {}
  operator float() const { return value; }
  operator __half_raw() const { return {stand_in_bits<unsigned short>(value)}; }
};
typedef __half half;
static inline unsigned short __half_as_ushort(__half h) { return __half_raw(h).x; }
static inline __half __ushort_as_half(unsigned short bits) { return __half_raw{bits}; }
static inline __half __float2half(float x) { return x; }
static inline __half __float2half_rn(float x) { return x; }
static inline __half __double2half(double x) { return x; }
static inline float __half2float(__half h) { return h; }
