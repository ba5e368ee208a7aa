// Elements of arrays on a GPU: their dtypes, where they lie in memory, and how a thread takes and leaves them.
//
// kernels.py puts this before bce.cuh, and defines THREADS and DIMENSIONS.
//
// * Elements are numbered in C order, whatever their layout in memory, and each thread takes the same ones from every
//   layout. So the layout does not change a bit of a sum.
// * CuPy compiles with -ftz=true, which takes subnormal floats for 0: `widen` and `narrow` go around that.

#include <cuda_fp16.h>

// ---- dtypes, by the names that NumPy has for them ----------------------------------------------

using int8 = signed char; using uint8 = unsigned char;
using int16 = short; using uint16 = unsigned short;
using int32 = int; using uint32 = unsigned int;
using int64 = long long; using uint64 = unsigned long long;
using float32 = float; using float64 = double;

struct float16 {
  unsigned short bits;
  __device__ operator float() const { return __half2float(__ushort_as_half(bits)); }
};

struct bfloat16 {
  unsigned short bits;
  __device__ operator float() const { return __uint_as_float(unsigned(bits) << 16); }
};

struct Absent {  // an operand that was not given
  __device__ operator float() const { return 1; }
};

// What an element is computed in. float16's subnormals are normal floats; bfloat16's are not, and would be flushed.
template <class T> struct WideOf { using type = double; };
template <> struct WideOf<float16> { using type = float; };
template <class T> using Wide = typename WideOf<T>::type;

template <class Real, class T> __device__ inline Real widen(T value) { return Real(value); }

template <> __device__ inline double widen<double, float>(float value) {
  unsigned bits = __float_as_uint(value), fraction = bits & 0x7fffff;
  if (bits & 0x7f800000) return value;
  return (bits >> 31 ? -0x1p-149 : 0x1p-149) * fraction;
}

template <> __device__ inline double widen<double, bfloat16>(bfloat16 value) {
  return widen<double, float>(value);
}

template <class T> __device__ inline T narrow(Wide<T> value) { return value; }

template <> __device__ inline float narrow<float>(double value) {
  double magnitude = fabs(value);
  if (!(magnitude < 0x1p-126)) return float(value);  // or it is subnormal, a multiple of 2^-149
  unsigned sign = unsigned(__double2hiint(value)) & 0x80000000u;
  return __uint_as_float(sign | unsigned(rint(magnitude * 0x1p149)));
}

template <> __device__ inline float16 narrow<float16>(float value) {
  return {__half_as_ushort(__float2half_rn(value))};
}

template <> __device__ inline bfloat16 narrow<bfloat16>(double value) {
  if (value != value) return {0x7fc0};
  unsigned bits = __float_as_uint(narrow<float>(value));  // rounded twice, which costs 2^-17 ULP
  return {(unsigned short)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

// ---- where the elements are --------------------------------------------------------------------

enum { INPUT, TARGET, WEIGHT, POS_WEIGHT, GRAD_OUTPUT, OPERANDS };

// The dimensions that are left when those that lie in one line are merged; strides in bytes.
struct Layout {
  int64 size;
  int64 dimensions;
  int64 lengths[DIMENSIONS];
  int64 strides[DIMENSIONS][OPERANDS];
};

struct Place { int64 offsets[OPERANDS]; };  // in bytes

// Find an element of all operands. There is one dimension at most, and so no division, where they are contiguous.
template <bool contiguous> __device__ inline Place locate(const Layout& layout, int64 index) {
  Place place = {};
  if (!contiguous) {
    for (int d = int(layout.dimensions) - 1; d > 0; --d) {
      int64 rest = index / layout.lengths[d], at = index - rest * layout.lengths[d];
      for (int o = 0; o < OPERANDS; ++o) place.offsets[o] += at * layout.strides[d][o];
      index = rest;
    }
  }
  for (int o = 0; o < OPERANDS; ++o) place.offsets[o] += index * layout.strides[0][o];
  return place;
}

// What a thread takes at a time: as many elements as 16 bytes of the input hold. They are loaded and stored as one,
// or as several times 16 bytes where a dtype is wider than the input's.
template <class X> constexpr int WIDTH = 16 / sizeof(X);

template <class T, int width> struct alignas(sizeof(T) * width < 16 ? sizeof(T) * width : 16) Chunk {
  T values[width];
};

template <bool contiguous, class X, class T, class W, class V, class G> struct Operands {
  const X* input;
  const T* target;
  const W* weight;
  const V* pos_weight;
  const G* grad_output;

  static constexpr int width = WIDTH<X>;
  template <class U> using Some = Chunk<U, width>;

  struct Batch { Some<X> x; Some<T> t; Some<W> w; Some<V> v; Some<G> g; };

  // Load `count` elements from the one of number `first`, which also fills the rest of the batch.
  __device__ Batch load(const Layout& layout, int64 first, int count) const {
    if (contiguous && count == width) {
      const int64* strides = layout.strides[0];
      return {together(input, strides[INPUT], first), together(target, strides[TARGET], first),
              together(weight, strides[WEIGHT], first), together(pos_weight, strides[POS_WEIGHT], first),
              together(grad_output, strides[GRAD_OUTPUT], first)};
    }
    Batch batch;
#pragma unroll
    for (int k = 0; k < width; ++k) {
      Place place = locate<contiguous>(layout, first + (k < count ? k : 0));
      batch.x.values[k] = one(input, place.offsets[INPUT]);
      batch.t.values[k] = one(target, place.offsets[TARGET]);
      batch.w.values[k] = one(weight, place.offsets[WEIGHT]);
      batch.v.values[k] = one(pos_weight, place.offsets[POS_WEIGHT]);
      batch.g.values[k] = one(grad_output, place.offsets[GRAD_OUTPUT]);
    }
    return batch;
  }

  static __device__ Absent one(const Absent*, int64) { return {}; }

  template <class U> static __device__ U one(const U* data, int64 offset) {
    return *reinterpret_cast<const U*>(reinterpret_cast<const char*>(data) + offset);
  }

  template <class U> static __device__ Some<U> together(const U* data, int64 stride, int64 first) {
    if (stride != 0) return *reinterpret_cast<const Some<U>*>(data + first);
    Some<U> same;  // one element for all
#pragma unroll
    for (int k = 0; k < width; ++k) same.values[k] = one(data, 0);
    return same;
  }
};

template <class X, int width>
__device__ inline void store(X* data, const Chunk<X, width>& chunk, int64 first, int count) {
  if (count == width) {
    *reinterpret_cast<Chunk<X, width>*>(data + first) = chunk;
    return;
  }
#pragma unroll
  for (int k = 0; k < width; ++k) {
    if (k < count) data[first + k] = chunk.values[k];
  }
}

// ---- the elements of a thread -------------------------------------------------------------------

// Call `use(first, count)` for the batches of this thread.
template <int width, class Use> __device__ inline void each_batch(int64 size, Use use) {
  int64 step = int64(gridDim.x) * THREADS * width;
  for (int64 first = (int64(blockIdx.x) * THREADS + threadIdx.x) * width; first < size; first += step) {
    int64 left = size - first;
    use(first, left < width ? int(left) : width);
  }
}
