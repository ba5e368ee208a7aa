// What CuPy's bfloat16.cuh uses of <cuda_bf16.h>.
#pragma once
struct __nv_bfloat16_raw { unsigned short x; };
struct __nv_bfloat16 {
  unsigned short bits;
  __nv_bfloat16() = default;
  __nv_bfloat16(const __nv_bfloat16_raw& raw) : bits(raw.x) {}
  template <class T, class = std::enable_if_t<std::is_arithmetic<T>::value>> __nv_bfloat16(T number) {
    float x = float(number);
    unsigned u = __float_as_uint(x);
    bits = x != x ? 0x7fff : (u + 0x7fff + (u >> 16 & 1)) >> 16;  // to the nearest, and to even
  }
  operator float() const { return __uint_as_float(unsigned(bits) << 16); }
  operator __nv_bfloat16_raw() const { return {bits}; }
};
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 b) { return b.bits; }
static inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return __nv_bfloat16_raw{bits}; }
static inline __nv_bfloat16 __float2bfloat16(float x) { return x; }
static inline float __bfloat162float(__nv_bfloat16 b) { return b; }
static inline bool __hisnan(__nv_bfloat16 b) { return (b.bits & 0x7fff) > 0x7f80; }
static inline int __hisinf(__nv_bfloat16 b) { return (b.bits & 0x7fff) == 0x7f80 ? (b.bits >> 15 ? -1 : 1) : 0; }
