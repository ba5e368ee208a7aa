// The two losses and their gradients on a GPU: the one source of the formulas for every dtype.
//
// `lucid.kernels` is the definition, and the names here are those there; see it for the mathematics. kernels.py puts
// arrays.cuh before this, and compiles a kernel for each combination of dtypes that it meets.
//
// An element is computed in its `Wide` type and rounded once. For float32 that is double, as in the other backends:
// right to half a ULP. A GPU that is slow at double is limited by that, not by its memory; 2 ULP would be allowed. The
// compiler may not fuse a product and a sum (--fmad=false): every kernel gives an element the same bits.

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

// A product, and what its rounding has lost (0 where that is unknown).
template <class Real> struct Product {
  Real value, lost;

  __device__ Product(Real a, Real b) : value(product(a, b)), lost(fma(a, b, -value)) {
    if (!isfinite(lost)) lost = 0;
  }
};

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
    Real up = product(at.w, quotient(rest, q_low)), down = quotient(y, p_low);
    Product<Real> both(at.w, at.v), all(both.value, down);
    Real lost = all.lost + both.lost * down + both.value * (fma(-down, p_low, y) / p_low);
    return up - (all.value + (isfinite(lost) ? lost : 0));
  }

  template <class Real> static __device__ Real tail(Real) { return 1; }
};

struct Logits {
  template <class Real> static __device__ bool valid(Real z) { return z == z; }

  template <class Real> static __device__ Real positive(const Spec<Real>& spec, Real z) { return negative(spec, -z); }

  // softplus(z), but for what `tail` returns
  template <class Real> static __device__ Real negative(const Spec<Real>&, Real z) {
    return fmax(z, Real(0)) + log_of_1_plus(decayed(z));
  }

  // exp(-|z|); in double its root beyond 700, where a weight may make a subnormal number a normal one.
  template <class Real> static __device__ Real decayed(Real z) {
    Real size = fabs(z);
    return exp(is_far(z) ? -size / 2 : -size);
  }

  template <class Real> static __device__ bool is_far(Real z) { return sizeof(Real) == 8 && fabs(z) > 700; }

  // What the term that is nearly 0 is still to be multiplied by, after the weights.
  template <class Real> static __device__ Real tail(Real z) { return is_far(z) ? decayed(z) : Real(1); }

  // b sigmoid(z) - a sigmoid(-z)
  template <class Real> static __device__ Real slope(const Spec<Real>&, const Element<Real>& at) {
    Real size = decayed(at.x), last = tail(at.x);
    Real small = size / (1 + size), large = 1 / (1 + size);
    Real up = at.x >= 0 ? large : small, down = at.x >= 0 ? small : large;
    Real up_last = at.x >= 0 ? Real(1) : last, down_last = at.x >= 0 ? last : Real(1);
    return at.w * (at.rest * up) * up_last - at.w * at.v * (at.y * down) * down_last;
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

// y P and (1-y) N; a hard label needs one logarithm. `last` is what one of them is still to be multiplied by.
template <class Formulas, class Real> struct Terms {
  Product<Real> positive, negative;
  Real rest_lost, last, x;

  __device__ Terms(const Spec<Real>& spec, const Element<Real>& at)
      : positive(at.y, at.y == 0 ? 0 : Formulas::positive(spec, at.x)),
        negative(at.rest, at.rest == 0 ? 0 : Formulas::negative(spec, at.x)),
        last(Formulas::tail(at.x)), x(at.x) {
    // a smoothed label is rounded itself
    rest_lost = at.rest == 0 || spec.share != 1 ? 0 : ((1 - at.rest) - at.y) * (negative.value / at.rest);
    if (!isfinite(rest_lost)) rest_lost = 0;
  }

  // w v y P + w (1-y) N, with what the products lose: so many roundings could add up to more than 2 ULP.
  __device__ Real sum(Real w, Real v) const {
    Product<Real> both(w, v), up(both.value, positive.value), down(w, negative.value);
    if (last != 1) return x > 0 ? up.value * last + down.value : up.value + down.value * last;
    Real lost = both.value * positive.lost + both.lost * positive.value + w * (negative.lost + rest_lost);
    lost += up.lost + down.lost;
    return up.value + (down.value + (isfinite(lost) ? lost : 0));
  }
};

template <class Formulas, class Real> __device__ inline Real loss_of(const Spec<Real>& spec, const Element<Real>& at) {
  return finish(at, Terms<Formulas, Real>(spec, at).sum(at.w, at.v));
}

// ---- the kernels -------------------------------------------------------------------------------

enum { SUM, MEAN, WEIGHTED_MEAN };

// A sum, and what its roundings have lost so far (Knuth's TwoSum): float64 wants more than its own digits.
struct Sum {
  double value, error;

  __device__ void operator+=(double term) {
    double sum = value + term, part = sum - value;
    error += (value - (sum - part)) + (term - part);
    value = sum;
  }

  __device__ void operator+=(Sum other) { *this += other.value, error += other.error; }

  __device__ double rounded() const { return isfinite(value) ? value + error : value; }
};

struct Sums {
  Sum loss, divisor;

  __device__ void operator+=(Sums other) { loss += other.loss, divisor += other.divisor; }
};

// A loss, unrounded, and what it was divided by.
struct Reduced { double loss, divisor; };

__device__ inline Sum lower(Sum mine, int distance) {
  return {__shfl_down_sync(~0u, mine.value, distance), __shfl_down_sync(~0u, mine.error, distance)};
}

// Add over the block, in an order that is always the same; every thread is given the sum.
__device__ inline Sums block_sum(Sums mine) {
  __shared__ Sums warps[THREADS / 32];
  for (int distance = 16; distance; distance /= 2) {
    mine += {lower(mine.loss, distance), lower(mine.divisor, distance)};
  }
  if (threadIdx.x % 32 == 0) warps[threadIdx.x / 32] = mine;
  __syncthreads();
  Sums sum = warps[0];
  for (int warp = 1; warp < THREADS / 32; ++warp) sum += warps[warp];
  return sum;
}

// The 1 in __launch_bounds__ asks for one block on a multiprocessor. By itself the compiler aims at several, and spills.

// With `sloped`, these two write the gradient of the input as well, in the same pass over the data. Its bits are those
// that `gradients` gives, so it is for a divisor that is known beforehand: the number of elements, or 1.

template <class Formulas, bool contiguous, class X, class T, class W, class V, bool sloped>
__global__ void __launch_bounds__(THREADS, 1)
unreduced(const X* input, const T* target, const W* weight, const V* pos_weight, const Layout layout,
          const Spec<Wide<X>> spec, X* loss, X* by_input) {
  constexpr int width = WIDTH<X>;
  Operands<contiguous, X, T, W, V, Absent> operands = {input, target, weight, pos_weight, nullptr};
  each_batch<width>(layout.size, [&](int64 first, int count) {
    auto batch = operands.load(layout, first, count);
    Chunk<X, width> losses, slopes;
#pragma unroll
    for (int k = 0; k < width; ++k) {
      auto at = prepare<Formulas>(spec, batch, k);
      losses.values[k] = narrow<X>(loss_of<Formulas>(spec, at));
      if (sloped) slopes.values[k] = narrow<X>(finish(at, Formulas::slope(spec, at)));
    }
    store(loss, losses, first, count);
    if (sloped) store(by_input, slopes, first, count);
  });
}

template <class Formulas, bool contiguous, class X, class T, class W, class V, bool sloped>
__global__ void __launch_bounds__(THREADS, 1)
partial_sums(const X* input, const T* target, const W* weight, const V* pos_weight, const Layout layout,
             const Spec<Wide<X>> spec, Sums* partials, X* by_input) {
  constexpr int width = WIDTH<X>;
  using Real = Wide<X>;
  Operands<contiguous, X, T, W, V, Absent> operands = {input, target, weight, pos_weight, nullptr};
  Real divisor = spec.divisor == SUM ? Real(1) : Real(double(layout.size));
  Sums sums = {};
  int64 kept = 0;
  each_batch<width>(layout.size, [&](int64 first, int count) {
    auto batch = operands.load(layout, first, count);
    Chunk<X, width> slopes;
#pragma unroll
    for (int k = 0; k < width; ++k) {
      auto at = prepare<Formulas>(spec, batch, k);
      Real each = loss_of<Formulas>(spec, at);
      bool counts = k < count && at.kept;
      if (counts) sums.loss += each;
      if (counts && spec.divisor == WEIGHTED_MEAN) sums.divisor += at.w;
      kept += counts;
      if (sloped) {
        at.w /= divisor;
        slopes.values[k] = narrow<X>(finish(at, Formulas::slope(spec, at)));
      }
    }
    if (sloped) store(by_input, slopes, first, count);
  });
  if (spec.divisor == MEAN) sums.divisor = {double(kept), 0};
  sums = block_sum(sums);
  if (threadIdx.x == 0) partials[blockIdx.x] = sums;
}

// One block adds the partial sums: the loss, rounded; and what backward needs of it, in `reduced`.
template <class X>
__global__ void __launch_bounds__(THREADS)
total(const Sums* partials, int count, int divisor, X* loss, Reduced* reduced) {
  Sums sums = {};
  for (int n = threadIdx.x; n < count; n += THREADS) sums += partials[n];
  sums = block_sum(sums);
  if (threadIdx.x != 0) return;
  Reduced mean = {sums.loss.rounded(), divisor == SUM ? 1 : sums.divisor.rounded()};
  if (mean.divisor == 0) mean.divisor = nan("");  // nothing to average
  mean.loss /= mean.divisor;
  *reduced = mean;
  *loss = narrow<X>(Wide<X>(mean.loss));
}

// `reduced` is null for an unreduced loss, whose grad_output has its shape; a gradient is null where it is not needed.
template <class Formulas, bool contiguous, class X, class T, class W, class V, class G>
__global__ void __launch_bounds__(THREADS, 1)
gradients(const X* input, const T* target, const W* weight, const V* pos_weight, const G* grad_output,
          const Layout layout, const Spec<Wide<X>> spec, const Reduced* reduced, X* by_input, X* by_target,
          X* by_weight) {
  constexpr int width = WIDTH<X>;
  using Real = Wide<X>;
  Operands<contiguous, X, T, W, V, G> operands = {input, target, weight, pos_weight, grad_output};
  Real divisor = reduced ? Real(reduced->divisor) : 1;
  Real mean = spec.divisor == WEIGHTED_MEAN ? Real(reduced->loss) : 0;
  each_batch<width>(layout.size, [&](int64 first, int count) {
    auto batch = operands.load(layout, first, count);
    Chunk<X, width> inputs, targets, weights;
#pragma unroll
    for (int k = 0; k < width; ++k) {
      auto at = prepare<Formulas>(spec, batch, k);
      Real scale = widen<Real>(batch.g.values[k]);
      at.w *= scale;
      if (reduced) at.w /= divisor, scale /= divisor;
      if (by_input) inputs.values[k] = narrow<X>(finish(at, Formulas::slope(spec, at)));
      if (by_target) {
        Real w = at.w * spec.share;
        Real last = Formulas::tail(at.x), up_last = at.x > 0 ? last : Real(1), down_last = at.x > 0 ? Real(1) : last;
        Real positive = product(w * at.v, Formulas::positive(spec, at.x)) * up_last;
        Real negative = product(w, Formulas::negative(spec, at.x)) * down_last;
        targets.values[k] = narrow<X>(finish(at, positive - negative));
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
