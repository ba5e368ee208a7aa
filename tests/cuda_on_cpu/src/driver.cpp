// The CUDA driver API, as far as CuPy calls it: modules and launches. Written from the documented signatures.
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>
#include "device.h"

struct Function { EntryPoint run; StandInContext* context; };
struct Module { void* library; std::map<std::string, Function> functions; };

static std::map<void*, long> launches_on;
EXPORT long stand_in_launches_on(void* stream) { return launches_on[stream]; }

EXPORT const char* cudaGetErrorName(int);
EXPORT const char* cudaGetErrorString(int);
API cuGetErrorName(int status, const char** name) { *name = cudaGetErrorName(status); return OK; }
API cuGetErrorString(int status, const char** text) { *text = cudaGetErrorString(status); return OK; }

API cuInit(unsigned) { return OK; }
API cuDriverGetVersion(int* version) { *version = CUDA_VERSION; return OK; }

static void* const context = reinterpret_cast<void*>(0xC0);
API cuCtxGetCurrent(void** current) { *current = context; return OK; }
API cuCtxSetCurrent(void*) { return OK; }
API cuCtxGetDevice(int* device) { *device = 0; return OK; }
API cuDevicePrimaryCtxRelease_v2(int) { return OK; }
API cuStreamGetCtx(void*, void** of_stream) { *of_stream = context; return OK; }

static int open_module(void** module, const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    fprintf(stderr, "cuda_on_cpu: %s\n", dlerror());
    return INVALID_IMAGE;
  }
  *module = new Module{library, {}};
  return OK;
}

API cuModuleLoad(void** module, const char* path) { return open_module(module, path); }

// A library's file is needed no longer once it is loaded, but for the lines in AddressSanitizer's reports.
static struct Kept {
  std::vector<std::string> paths;
  void done_with(const std::string& path) {
    if (dlsym(RTLD_DEFAULT, "__asan_init")) paths.push_back(path);
    else unlink(path.c_str());
  }
  ~Kept() { for (const std::string& path : paths) unlink(path.c_str()); }
} kept;

// The image is a shared library; it ends with its section headers, where g++ puts them.
API cuModuleLoadData(void** module, const void* image) {
  auto header = static_cast<const Elf64_Ehdr*>(image);
  if (memcmp(header->e_ident, ELFMAG, SELFMAG) || header->e_machine != EM_X86_64) {
    fprintf(stderr, "cuda_on_cpu: this module is not one that the stand-in for NVRTC compiled\n");
    return INVALID_IMAGE;
  }
  size_t size = header->e_shoff + size_t(header->e_shentsize) * header->e_shnum;
  const char* folder = getenv("TMPDIR");
  std::string path = std::string(folder ? folder : "/tmp") + "/cuda-on-cpu-XXXXXX";
  int file = mkstemp(&path[0]);  // a file of its own: the loader knows a library by its file
  if (file < 0) return OUT_OF_MEMORY;
  bool written = write(file, image, size) == ssize_t(size);
  close(file);
  int status = written ? open_module(module, path.c_str()) : int(OUT_OF_MEMORY);
  kept.done_with(path);
  return status;
}

API cuModuleUnload(void* module) {
  dlclose(static_cast<Module*>(module)->library);
  delete static_cast<Module*>(module);
  return OK;
}

API cuModuleGetFunction(void** function, void* of_module, const char* name) {
  Module* module = static_cast<Module*>(of_module);
  Function& found = module->functions[name];
  if (!found.run) {
    found.run = reinterpret_cast<EntryPoint>(dlsym(module->library, (std::string("stand_in_run_") + name).c_str()));
    found.context = static_cast<StandInContext*>(dlsym(module->library, "stand_in_context"));
  }
  *function = &found;
  return found.run ? OK : NOT_FOUND;
}

API cuModuleGetGlobal_v2(void** address, size_t* size, void* module, const char* name) {
  *address = dlsym(static_cast<Module*>(module)->library, name);
  if (!*address) return NOT_FOUND;
  Dl_info library;
  void* symbol = nullptr;
  if (size && dladdr1(*address, &library, &symbol, RTLD_DL_SYMENT) && symbol) {
    *size = static_cast<const Elf64_Sym*>(symbol)->st_size;
  }
  return OK;
}

API cuFuncGetAttribute(int* value, int attribute, void*) {
  *value = attribute == 0 ? MAX_THREADS : 0;
  return OK;
}

API cuLaunchKernel(void* function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                   unsigned block_y, unsigned block_z, unsigned shared, void* stream, void** arguments, void** extra) {
  if (extra || shared) return NOT_SUPPORTED;
  bool some = grid_x && grid_y && grid_z && block_x && block_y && block_z;
  bool grid_fits = grid_x <= 0x7fffffff && grid_y <= 65535 && grid_z <= 65535;
  bool block_fits = block_x <= 1024 && block_y <= 1024 && block_z <= 64 &&
                    uint64_t(block_x) * block_y * block_z <= MAX_THREADS;
  if (!some || !grid_fits || !block_fits) return INVALID_VALUE;
  if (int failure = request(&Requests::launches)) return failure;
  launches_on[stream]++;
  Function* kernel = static_cast<Function*>(function);
  StandInUint3 grid = {grid_x, grid_y, grid_z}, block = {block_x, block_y, block_z};
  return run_grid(kernel->run, kernel->context, grid, block, arguments) ? OK : LAUNCH_FAILED;
}
