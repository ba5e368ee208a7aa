// What CuPy brings as compiled GPU code, behind a few C++ functions: thrust, CUB, the newer random numbers.
// CuPy's modules find these first, and so such code says that it can't run, instead of failing somehow.
#include <sys/types.h>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define EXPORT __attribute__((visibility("default")))
typedef std::vector<std::ptrdiff_t> Shape;
struct CUstream_st;

[[noreturn]] static void only_on_a_gpu(const char* what) {
  fprintf(stderr, "cuda_on_cpu: %s is compiled GPU code, which can't run on the CPU\n", what);
  abort();
}

EXPORT void thrust_sort(int, void*, size_t*, const Shape&, intptr_t, void*) { only_on_a_gpu("cupy.sort"); }
EXPORT void thrust_argsort(int, size_t*, void*, void*, const Shape&, intptr_t, void*) {
  only_on_a_gpu("cupy.argsort");
}
EXPORT void thrust_lexsort(int, size_t*, void*, size_t, size_t, intptr_t, void*) { only_on_a_gpu("cupy.lexsort"); }
EXPORT void init_curand_generator(int, intptr_t, uint64_t, ssize_t, intptr_t) {
  only_on_a_gpu("cupy.random.Generator");
}
EXPORT void cub_device_reduce(void*, size_t&, void*, void*, int, CUstream_st*, int, int) { only_on_a_gpu("CUB"); }
EXPORT void cub_device_segmented_reduce(void*, size_t&, void*, void*, int, int, CUstream_st*, int, int) {
  only_on_a_gpu("CUB");
}
EXPORT void cub_device_scan(void*, size_t&, void*, void*, int, CUstream_st*, int, int) { only_on_a_gpu("CUB"); }
