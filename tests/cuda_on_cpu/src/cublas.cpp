// libcublas: what a matrix product of real numbers needs, as plain loops. Matrices lie column by column.
#include <cstddef>
#include <cstdint>
#include <cstring>

#define API extern "C" __attribute__((visibility("default"))) int

enum { SUCCESS = 0, NOT_SUPPORTED = 15 };
enum { FLOAT = 0, DOUBLE = 1, HALF = 2, BFLOAT16 = 14 };  // cudaDataType

struct Handle { void* stream; int pointer_mode, math_mode; };

struct Bfloat16 {
  uint16_t upper;  // half of a float
  Bfloat16() = default;
  explicit Bfloat16(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    upper = number != number ? 0x7fff : (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  }
  explicit operator float() const {
    uint32_t bits = uint32_t(upper) << 16;
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
  }
};

API stand_in_cublas_unsupported() { return NOT_SUPPORTED; }
API cublasCreate_v2(Handle** handle) { *handle = new Handle{}; return SUCCESS; }
API cublasDestroy_v2(Handle* handle) { delete handle; return SUCCESS; }
API cublasGetVersion_v2(Handle*, int* version) { *version = CUDA_VERSION * 10; return SUCCESS; }
API cublasSetStream_v2(Handle* handle, void* stream) { handle->stream = stream; return SUCCESS; }
API cublasGetStream_v2(Handle* handle, void** stream) { *stream = handle->stream; return SUCCESS; }
API cublasSetPointerMode_v2(Handle* handle, int mode) { handle->pointer_mode = mode; return SUCCESS; }
API cublasGetPointerMode_v2(Handle* handle, int* mode) { *mode = handle->pointer_mode; return SUCCESS; }
API cublasSetMathMode(Handle* handle, int mode) { handle->math_mode = mode; return SUCCESS; }
API cublasGetMathMode(Handle* handle, int* mode) { *mode = handle->math_mode; return SUCCESS; }

// c = alpha a b + beta c, where a is m by k, or transposed, and b is k by n, or transposed.
template <class Sum, class T>
static void multiply(bool a_transposed, bool b_transposed, int m, int n, int k, Sum alpha, const T* a, size_t a_step,
                     const T* b, size_t b_step, Sum beta, T* c, size_t c_step) {
  for (int j = 0; j < n; j++) {
    for (int i = 0; i < m; i++) {
      Sum sum = 0;
      for (int l = 0; l < k; l++) {
        sum += Sum(a_transposed ? a[l + i * a_step] : a[i + l * a_step]) *
               Sum(b_transposed ? b[j + l * b_step] : b[l + j * b_step]);
      }
      T& at = c[i + j * c_step];
      at = T(beta == 0 ? alpha * sum : alpha * sum + beta * Sum(at));
    }
  }
}

#define REAL(letter, T)                                                                                              \
  API cublas##letter##gemm_v2(Handle*, int ta, int tb, int m, int n, int k, T* alpha, T* a, int lda, T* b, int ldb,  \
                              T* beta, T* c, int ldc) {                                                              \
    multiply(ta, tb, m, n, k, *alpha, a, lda, b, ldb, *beta, c, ldc);                                                \
    return SUCCESS;                                                                                                  \
  }                                                                                                                  \
  API cublas##letter##gemmStridedBatched(Handle*, int ta, int tb, int m, int n, int k, T* alpha, T* a, int lda,      \
                                         long long a_stride, T* b, int ldb, long long b_stride, T* beta, T* c,       \
                                         int ldc, long long c_stride, int batches) {                                 \
    for (int i = 0; i < batches; i++) {                                                                              \
      multiply(ta, tb, m, n, k, *alpha, a + i * a_stride, lda, b + i * b_stride, ldb, *beta, c + i * c_stride, ldc); \
    }                                                                                                                \
    return SUCCESS;                                                                                                  \
  }                                                                                                                  \
  API cublas##letter##gemmBatched(Handle*, int ta, int tb, int m, int n, int k, T* alpha, T** a, int lda, T** b,     \
                                  int ldb, T* beta, T** c, int ldc, int batches) {                                   \
    for (int i = 0; i < batches; i++) multiply(ta, tb, m, n, k, *alpha, a[i], lda, b[i], ldb, *beta, c[i], ldc);     \
    return SUCCESS;                                                                                                  \
  }                                                                                                                  \
  API cublas##letter##gemv_v2(Handle*, int ta, int m, int n, T* alpha, T* a, int lda, T* x, int step, T* beta, T* y, \
                              int y_step) {                                                                          \
    if (y_step != 1) return NOT_SUPPORTED;                                                                           \
    multiply(ta, true, ta ? n : m, 1, ta ? m : n, *alpha, a, lda, x, step, *beta, y, 0);                             \
    return SUCCESS;                                                                                                  \
  }                                                                                                                  \
  API cublas##letter##dot_v2(Handle*, int n, T* x, int x_step, T* y, int y_step, T* result) {                        \
    multiply(false, true, 1, 1, n, T(1), x, x_step, y, y_step, T(0), result, 1);                                     \
    return SUCCESS;                                                                                                  \
  }
REAL(S, float)
REAL(D, double)

API cublasGemmStridedBatchedEx(Handle*, int ta, int tb, int m, int n, int k, void* alpha, void* a, int type, int lda,
                               long long a_stride, void* b, int b_type, int ldb, long long b_stride, void* beta,
                               void* c, int c_type, int ldc, long long c_stride, int batches, int, int) {
  if (type != b_type || type != c_type) return NOT_SUPPORTED;
  auto each = [&](auto sum, auto element) {
    typedef decltype(sum) Sum;
    typedef decltype(element) T;
    for (int i = 0; i < batches; i++) {
      multiply(ta, tb, m, n, k, *(Sum*)alpha, (T*)a + i * a_stride, lda, (T*)b + i * b_stride, ldb, *(Sum*)beta,
               (T*)c + i * c_stride, ldc);
    }
    return int(SUCCESS);
  };
  switch (type) {
    case FLOAT: return each(float(), float());
    case DOUBLE: return each(double(), double());
    case HALF: return each(float(), _Float16());
    case BFLOAT16: return each(float(), Bfloat16());
  }
  return NOT_SUPPORTED;
}

API cublasGemmEx(Handle* handle, int ta, int tb, int m, int n, int k, void* alpha, void* a, int a_type, int lda, void* b,
                 int b_type, int ldb, void* beta, void* c, int c_type, int ldc, int compute, int algorithm) {
  return cublasGemmStridedBatchedEx(handle, ta, tb, m, n, k, alpha, a, a_type, lda, 0, b, b_type, ldb, 0, beta, c,
                                    c_type, ldc, 0, 1, compute, algorithm);
}
