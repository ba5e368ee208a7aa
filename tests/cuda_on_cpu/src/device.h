// What the files of libcuda.so.1 share.
#pragma once
#include <cstddef>
#include <cstdint>
#include "launch_abi.h"

#define EXPORT extern "C" __attribute__((visibility("default")))
#define API EXPORT int

// CUDA's own numbers.
enum Status {
  OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_IMAGE = 200, INVALID_HANDLE = 400,
  NOT_FOUND = 500, LAUNCH_FAILED = 719, NOT_SUPPORTED = 801
};
enum { MAJOR = 8, MINOR = 0, CUDA_VERSION = 12090, MAX_THREADS = 1024, MAX_SHARED = 48 << 10, PROCESSORS = 2 };

// What the tests count, and set; the Python package reads and writes it.
struct Counts { long launches, allocations, to_host, synchronisations; };
EXPORT Counts stand_in_counts;
EXPORT int stand_in_flush_subnormals;

typedef void (*EntryPoint)(void** arguments);

// Run the whole grid; false if the kernel trapped, or its threads wait for one another.
bool run_grid(EntryPoint, StandInContext*, StandInUint3 grid, StandInUint3 block, void** arguments);
