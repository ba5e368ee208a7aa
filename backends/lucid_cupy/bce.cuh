// The two losses and their gradients on a GPU: the one source of the formulas for every dtype.
//
// `lucid.kernels` is the definition, and the names here are those there; see it for the mathematics. kernels.py
// compiles a kernel from this file for each combination of dtypes that it meets, and defines THREADS, DIMENSIONS.
//
// * An element is computed in its `Wide` type and rounded once. For float32 that is double, as in the other backends:
//   right to half a ULP. A GPU that is slow at double is limited by that, not by its memory; 2 ULP would be allowed.
// * Elements are numbered in C order, whatever their layout in memory, and each thread takes the same ones from every
//   layout; the compiler may not fuse a product and a sum (--fmad=false). So the layout does not change a bit.
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

  // Load `count` elements from the one of number `first`; the others of the batch are anything.
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
      if (k >= count) break;
      Place place = locate<contiguous>(layout, first + k);
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

// ---- the mathematics ---------------------------------------------------------------------------

// `share` and `half` are 1 - s and s/2 of the label smoothing s; `ignored` is nan where nothing is.
template <class Real> struct Spec {
  Real share, half, most, lowest, eps, ignored;
  int divisor;
};

template <class Real> struct Element {
  Real x, y, rest, w, v;
  bool kept, valid;
};

// Multiply, where 0 times inf is 0.
template <class Real> __device__ inline Real product(Real coefficient, Real term) {
  return coefficient == 0 ? coefficient : coefficient * term;
}

// Divide, where 0/0 is 0.
template <class Real> __device__ inline Real quotient(Real a, Real b) { return a == 0 ? a : a / b; }

// log(1 + t), and t where that is all that can be seen, subnormal numbers too.
template <class Real> __device__ inline Real log_of_1_plus(Real t) {
  return fabs(t) < Real(0x1p-60) ? t : log1p(t);
}

struct Probabilities {
  template <class Real> static __device__ bool valid(Real p) { return p >= 0 && p <= 1; }

  template <class Real> static __device__ Real positive(const Spec<Real>& spec, Real p) {
    return p > 0 ? fmin(-log(p), spec.most) : spec.most;
  }

  template <class Real> static __device__ Real negative(const Spec<Real>& spec, Real p) {
    return p < 1 ? fmin(-log_of_1_plus(-p), spec.most) : spec.most;
  }

  // b/(1-p) - a/p; for soft labels ((p-y)/p)/(1-p), which keeps what that would cancel.
  template <class Real> static __device__ Real slope(const Spec<Real>& spec, const Element<Real>& at) {
    Real p = fabs(at.x), q = 1 - p;  // -0 is 0
    Real p_low = fmax(p, spec.lowest), q_low = fmax(q, spec.lowest);
    Real y = p < spec.eps ? 0 : at.y, rest = q < spec.eps ? 0 : at.rest;
    if (y != 0 && rest != 0 && at.v == 1 && spec.share == 1) {
      Real over = (p_low - y) - y * ((p_low - p) + (q_low - q));
      return product(at.w, quotient(quotient(over, p_low), q_low));
    }
    return product(at.w, quotient(rest, q_low)) - product(at.w * at.v, quotient(y, p_low));
  }
};

struct Logits {
  template <class Real> static __device__ bool valid(Real z) { return z == z; }

  template <class Real> static __device__ Real positive(const Spec<Real>& spec, Real z) { return negative(spec, -z); }

  // softplus(z)
  template <class Real> static __device__ Real negative(const Spec<Real>&, Real z) {
    return fmax(z, Real(0)) + log_of_1_plus(exp(-fabs(z)));
  }

  // b sigmoid(z) - a sigmoid(-z)
  template <class Real> static __device__ Real slope(const Spec<Real>&, const Element<Real>& at) {
    Real decayed = exp(-fabs(at.x));
    Real small = decayed / (1 + decayed), large = 1 / (1 + decayed);
    Real up = at.x >= 0 ? large : small, down = at.x >= 0 ? small : large;
    return at.w * (at.rest * up) - at.w * at.v * (at.y * down);
  }
};

template <class Formulas, class Real, class Batch>
__device__ inline Element<Real> prepare(const Spec<Real>& spec, const Batch& batch, int k) {
  Real x = widen<Real>(batch.x.values[k]), t = widen<Real>(batch.t.values[k]);
  Real w = widen<Real>(batch.w.values[k]), v = widen<Real>(batch.v.values[k]);
  bool kept = t != spec.ignored, valid = Formulas::valid(x) && t >= 0 && t <= 1;
  if (!(kept && valid)) x = t = Real(0.5);
  Real rest = (1 - t) * spec.share + spec.half;  // 1 - y would lose the digits of a small rest
  return {x, t * spec.share + spec.half, rest, w, v, kept, valid};
}

template <class Real> __device__ inline Real finish(const Element<Real>& at, Real value) {
  return !at.kept ? Real(0) : at.valid ? value : Real(nan(""));
}

// y P and (1-y) N; a hard label needs one logarithm.
template <class Formulas, class Real> struct Terms {
  Real positive, negative;

  __device__ Terms(const Spec<Real>& spec, const Element<Real>& at)
      : positive(at.y == 0 ? 0 : at.y * Formulas::positive(spec, at.x)),
        negative(at.rest == 0 ? 0 : at.rest * Formulas::negative(spec, at.x)) {}

  // w v y P + w (1-y) N
  __device__ Real sum(Real w, Real v) const { return product(w * v, positive) + product(w, negative); }
};

template <class Formulas, class Real> __device__ inline Real loss_of(const Spec<Real>& spec, const Element<Real>& at) {
  return finish(at, Terms<Formulas, Real>(spec, at).sum(at.w, at.v));
}

// ---- the kernels -------------------------------------------------------------------------------

enum { SUM, MEAN, WEIGHTED_MEAN };

// A loss, and what it was or is to be divided by.
struct Sums {
  double loss, divisor;

  __device__ void operator+=(Sums other) { loss += other.loss, divisor += other.divisor; }
};

// Add over the block, in an order that is always the same; every thread is given the sum.
__device__ inline Sums block_sum(Sums mine) {
  __shared__ Sums warps[THREADS / 32];
  for (int distance = 16; distance; distance /= 2) {
    mine += {__shfl_down_sync(~0u, mine.loss, distance), __shfl_down_sync(~0u, mine.divisor, distance)};
  }
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = mine;
  __syncthreads();
  Sums sum = warps[0];
  for (int warp = 1; warp < THREADS / 32; ++warp) sum += warps[warp];
  return sum;
}

// Call `use(first, count)` for the batches of this thread.
template <int width, class Use> __device__ inline void each_batch(int64 size, Use use) {
  int64 step = int64(gridDim.x) * THREADS * width;
  for (int64 first = (int64(blockIdx.x) * THREADS + threadIdx.x) * width; first < size; first += step) {
    int64 left = size - first;
    use(first, left < width ? int(left) : width);
  }
}

template <class Formulas, bool contiguous, class X, class T, class W, class V>
__global__ void __launch_bounds__(THREADS)
unreduced(const X* input, const T* target, const W* weight, const V* pos_weight, const Layout layout,
          const Spec<Wide<X>> spec, X* loss) {
  constexpr int width = WIDTH<X>;
  Operands<contiguous, X, T, W, V, Absent> operands = {input, target, weight, pos_weight, nullptr};
  each_batch<width>(layout.size, [&](int64 first, int count) {
    auto batch = operands.load(layout, first, count);
    Chunk<X, width> losses;
#pragma unroll
    for (int k = 0; k < width; ++k) {
      if (k >= count) break;
      losses.values[k] = narrow<X>(loss_of<Formulas>(spec, prepare<Formulas>(spec, batch, k)));
    }
    store(loss, losses, first, count);
  });
}

template <class Formulas, bool contiguous, class X, class T, class W, class V>
__global__ void __launch_bounds__(THREADS)
partial_sums(const X* input, const T* target, const W* weight, const V* pos_weight, const Layout layout,
             const Spec<Wide<X>> spec, Sums* partials) {
  constexpr int width = WIDTH<X>;
  Operands<contiguous, X, T, W, V, Absent> operands = {input, target, weight, pos_weight, nullptr};
  Sums sums = {0, 0};
  int64 kept = 0;
  each_batch<width>(layout.size, [&](int64 first, int count) {
    auto batch = operands.load(layout, first, count);
#pragma unroll
    for (int k = 0; k < width; ++k) {
      if (k >= count) break;
      auto at = prepare<Formulas>(spec, batch, k);
      sums.loss += loss_of<Formulas>(spec, at);
      kept += at.kept;
      if (spec.divisor == WEIGHTED_MEAN && at.kept) sums.divisor += at.w;
    }
  });
  if (spec.divisor == MEAN) sums.divisor = double(kept);
  sums = block_sum(sums);
  if (threadIdx.x == 0) partials[blockIdx.x] = sums;
}

// One block adds the partial sums: the loss, rounded; and what backward needs of it, unrounded, in `sums`.
template <class X>
__global__ void __launch_bounds__(THREADS)
total(const Sums* partials, int count, int divisor, X* loss, Sums* sums) {
  Sums sum = {0, 0};
  for (int n = threadIdx.x; n < count; n += THREADS) sum += partials[n];
  sum = block_sum(sum);
  if (threadIdx.x != 0) return;
  if (divisor == SUM) sum.divisor = 1;
  if (sum.divisor == 0) sum.divisor = nan("");  // nothing to average
  sum.loss /= sum.divisor;
  *sums = sum;
  *loss = narrow<X>(Wide<X>(sum.loss));
}

// `sums` is null for an unreduced loss, whose grad_output has its shape; a gradient is null where it is not needed.
template <class Formulas, bool contiguous, class X, class T, class W, class V, class G>
__global__ void __launch_bounds__(THREADS)
gradients(const X* input, const T* target, const W* weight, const V* pos_weight, const G* grad_output,
          const Layout layout, const Spec<Wide<X>> spec, const Sums* sums, X* by_input, X* by_target, X* by_weight) {
  constexpr int width = WIDTH<X>;
  using Real = Wide<X>;
  Operands<contiguous, X, T, W, V, G> operands = {input, target, weight, pos_weight, grad_output};
  Real divisor = sums ? Real(sums->divisor) : 1;
  Real mean = spec.divisor == WEIGHTED_MEAN ? Real(sums->loss) : 0;
  each_batch<width>(layout.size, [&](int64 first, int count) {
    auto batch = operands.load(layout, first, count);
    Chunk<X, width> inputs, targets, weights;
#pragma unroll
    for (int k = 0; k < width; ++k) {
      if (k >= count) break;
      auto at = prepare<Formulas>(spec, batch, k);
      Real scale = widen<Real>(batch.g.values[k]);
      at.w *= scale;
      if (sums) at.w /= divisor, scale /= divisor;
      if (by_input) inputs.values[k] = narrow<X>(finish(at, Formulas::slope(spec, at)));
      if (by_target) {
        Real w = at.w * spec.share;
        Real positive = product(w * at.v, Formulas::positive(spec, at.x));
        targets.values[k] = narrow<X>(finish(at, positive - product(w, Formulas::negative(spec, at.x))));
      }
      if (by_weight) {
        Real loss = Terms<Formulas, Real>(spec, at).sum(scale, at.v);
        weights.values[k] = narrow<X>(finish(at, loss - scale * mean));
      }
    }
    if (by_input) store(by_input, inputs, first, count);
    if (by_target) store(by_target, targets, first, count);
    if (by_weight) store(by_weight, weights, first, count);
  });
}
