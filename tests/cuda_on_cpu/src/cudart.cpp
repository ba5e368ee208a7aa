// libcudart: CuPy asks it for its version alone; the runtime that it uses is its own.
extern "C" __attribute__((visibility("default"))) int cudaRuntimeGetVersion(int* version) {
  *version = CUDA_VERSION;
  return 0;
}
