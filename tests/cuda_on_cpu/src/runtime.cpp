// The CUDA runtime API, as far as CuPy calls it: one make-believe GPU whose memory is the host's.
// Everything is done when a call returns. Written from the documented signatures; no CUDA header is needed.
#include <sys/sysinfo.h>
#include <unistd.h>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <map>
#include <mutex>
#include "device.h"

Requests stand_in_counts, stand_in_failures;
int stand_in_flush_subnormals;

// ---- errors --------------------------------------------------------------------------------------

EXPORT const char* cudaGetErrorName(int status) {
  switch (status) {
    case OK: return "cudaSuccess";
    case INVALID_VALUE: return "cudaErrorInvalidValue";
    case OUT_OF_MEMORY: return "cudaErrorMemoryAllocation";
    case UNAVAILABLE: return "cudaErrorDevicesUnavailable";
    case INVALID_DEVICE: return "cudaErrorInvalidDevice";
    case INVALID_IMAGE: return "cudaErrorInvalidKernelImage";
    case INVALID_HANDLE: return "cudaErrorInvalidResourceHandle";
    case NOT_FOUND: return "cudaErrorSymbolNotFound";
    case LAUNCH_FAILED: return "cudaErrorLaunchFailure";
    case NOT_SUPPORTED: return "cudaErrorNotSupported";
  }
  return "cudaErrorUnknown";
}
EXPORT const char* cudaGetErrorString(int status) {
  return status == NOT_SUPPORTED ? "the stand-in for CUDA has no such function" : cudaGetErrorName(status);
}
API cudaGetLastError() { return OK; }
API cudaPeekAtLastError() { return OK; }
API stand_in_unsupported() { return NOT_SUPPORTED; }  // for every function that is not here

// ---- the device ------------------------------------------------------------------------------------

API cudaDriverGetVersion(int* version) { *version = CUDA_VERSION; return OK; }
API cudaRuntimeGetVersion(int* version) { *version = CUDA_VERSION; return OK; }
API cudaGetDeviceCount(int* count) { *count = 1; return OK; }
API cudaGetDevice(int* device) { *device = 0; return OK; }
API cudaSetDevice(int device) { return device == 0 ? OK : INVALID_DEVICE; }
API cudaDeviceSynchronize() { return request(&Requests::synchronisations); }
API cudaDeviceCanAccessPeer(int* can, int, int) { *can = 0; return OK; }

API cudaDeviceGetAttribute(int* value, int attribute, int device) {
  static const std::map<int, int> known = {
      {1, MAX_THREADS}, {2, 1024}, {3, 1024}, {4, 64},      // threads of a block, and in x, y and z
      {5, 0x7fffffff}, {6, 65535}, {7, 65535},              // blocks in x, y and z
      {8, MAX_SHARED}, {10, 32}, {12, 64 << 10},            // shared memory, lanes of a warp, registers
      {16, PROCESSORS}, {39, MAX_THREADS}, {41, 1},         // processors, their threads, unified addressing
      {75, MAJOR}, {76, MINOR}};
  auto found = known.find(attribute);
  *value = found == known.end() ? 0 : found->second;
  return device == 0 ? OK : INVALID_DEVICE;
}

static size_t memory_size() { return size_t(get_phys_pages()) * size_t(sysconf(_SC_PAGESIZE)); }

#if CUDA_VERSION < 13000
enum { PROPERTIES = 1032 };  // bytes of a cudaDeviceProp
#else
enum { PROPERTIES = 1008 };
#define cudaGetDeviceProperties_v2 cudaGetDeviceProperties
#endif

API cudaGetDeviceProperties_v2(void* properties, int device) {
  struct {  // its start
    char name[256], uuid[16], luid[8];
    unsigned luid_mask;
    size_t memory, shared;
    int registers, warp;
    size_t pitch;
    int threads, block[3], grid[3];
#if CUDA_VERSION < 13000
    int clock;
#endif
    size_t constants;
    int major, minor;
    size_t alignment, pitch_alignment;
#if CUDA_VERSION < 13000
    int overlap;
#endif
    int processors;
  } start = {};
  strcpy(start.name, "a CPU that stands in for a GPU");
  start.memory = memory_size();
  start.shared = MAX_SHARED;
  start.registers = start.constants = 64 << 10;
  start.warp = 32;
  start.pitch = 0x7fffffff;
  start.threads = MAX_THREADS;
  const int block[] = {1024, 1024, 64}, grid[] = {0x7fffffff, 65535, 65535};
  memcpy(start.block, block, sizeof block);
  memcpy(start.grid, grid, sizeof grid);
  start.major = MAJOR;
  start.minor = MINOR;
  start.alignment = 512;
  start.pitch_alignment = 32;
  start.processors = PROCESSORS;
  memset(properties, 0, PROPERTIES);
  memcpy(properties, &start, sizeof start);
  return device == 0 ? OK : INVALID_DEVICE;
}

// ---- memory ------------------------------------------------------------------------------------------

enum Kind { HOST = 1, DEVICE = 2 };
enum { TO_HOST = 2 };
struct Block { size_t size; Kind kind; };

static std::map<uintptr_t, Block> blocks;
static std::mutex blocks_lock;
static size_t in_use;

// New memory is filled with ones, nan and -1, so that what reads it before it is written can be seen.
static int allocate(void** memory, size_t size, Kind kind) {
  *memory = nullptr;
  if (size == 0) return OK;
  if (int failure = kind == DEVICE ? request(&Requests::allocations) : OK) return failure;
  if (size > memory_size() || posix_memalign(memory, 512, size)) return OUT_OF_MEMORY;
  memset(*memory, 0xFF, size);
  std::lock_guard<std::mutex> guard(blocks_lock);
  blocks[reinterpret_cast<uintptr_t>(*memory)] = {size, kind};
  in_use += size;
  return OK;
}

static int release(void* memory) {
  if (!memory) return OK;
  std::lock_guard<std::mutex> guard(blocks_lock);
  auto found = blocks.find(reinterpret_cast<uintptr_t>(memory));
  if (found == blocks.end()) return INVALID_VALUE;
  in_use -= found->second.size;
  blocks.erase(found);
  free(memory);
  return OK;
}

API cudaMalloc(void** memory, size_t size) { return allocate(memory, size, DEVICE); }
API cudaHostAlloc(void** memory, size_t size, unsigned) { return allocate(memory, size, HOST); }
API cudaFree(void* memory) { return release(memory); }
API cudaFreeHost(void* memory) { return release(memory); }
API cudaMemGetInfo(size_t* left, size_t* total) {
  *total = memory_size();
  *left = *total - in_use;
  return OK;
}

API cudaMemcpy(void* to, const void* from, size_t size, int direction) {
  if (int failure = direction == TO_HOST ? request(&Requests::to_host) : OK) return failure;
  if (size) memmove(to, from, size);
  return OK;
}
API cudaMemcpyAsync(void* to, const void* from, size_t size, int direction, void*) {
  return cudaMemcpy(to, from, size, direction);
}
API cudaMemset(void* memory, int value, size_t size) {
  if (size) memset(memory, value, size);
  return OK;
}
API cudaMemsetAsync(void* memory, int value, size_t size, void*) { return cudaMemset(memory, value, size); }

API cudaPointerGetAttributes(void* attributes, const void* address) {
  struct { int kind, device; const void *on_device, *on_host; } known = {0, -2, nullptr, address};
  std::lock_guard<std::mutex> guard(blocks_lock);
  uintptr_t at = reinterpret_cast<uintptr_t>(address);
  auto block = blocks.upper_bound(at);
  if (block != blocks.begin() && at < (--block)->first + block->second.size) {
    Kind kind = block->second.kind;
    known = {kind, 0, address, kind == DEVICE ? nullptr : address};
  }
  memcpy(attributes, &known, sizeof known);
  return OK;
}

// ---- streams and events ---------------------------------------------------------------------------------

struct Stream { unsigned flags; int priority; };
struct Event { double milliseconds; };

API cudaStreamCreate(void** stream) { *stream = new Stream{}; return OK; }
API cudaStreamCreateWithFlags(void** stream, unsigned flags) { *stream = new Stream{flags, 0}; return OK; }
API cudaStreamCreateWithPriority(void** stream, unsigned flags, int priority) {
  *stream = new Stream{flags, priority};
  return OK;
}
API cudaStreamDestroy(void* stream) { delete static_cast<Stream*>(stream); return OK; }
API cudaStreamSynchronize(void*) { return request(&Requests::synchronisations); }
API cudaStreamQuery(void*) { return OK; }
API cudaStreamWaitEvent(void*, void*, unsigned) { return OK; }
API cudaStreamIsCapturing(void*, int* status) { *status = 0; return OK; }

API cudaEventCreate(void** event) { *event = new Event{}; return OK; }
API cudaEventCreateWithFlags(void** event, unsigned) { *event = new Event{}; return OK; }
API cudaEventDestroy(void* event) { delete static_cast<Event*>(event); return OK; }
API cudaEventQuery(void*) { return OK; }
API cudaEventSynchronize(void*) { return request(&Requests::synchronisations); }
API cudaEventRecord(void* event, void*) {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  static_cast<Event*>(event)->milliseconds = double(now.tv_sec) * 1e3 + double(now.tv_nsec) * 1e-6;
  return OK;
}
API cudaEventElapsedTime(float* milliseconds, void* from, void* to) {
  *milliseconds = float(static_cast<Event*>(to)->milliseconds - static_cast<Event*>(from)->milliseconds);
  return OK;
}
