// What the files of libcuda.so.1 share.
#pragma once
#include <cstddef>
#include <cstdint>
#include "launch_abi.h"

#define EXPORT extern "C" __attribute__((visibility("default")))
#define API EXPORT int

// CUDA's own numbers.
enum Status {
  OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, UNAVAILABLE = 46, INVALID_DEVICE = 101, INVALID_IMAGE = 200,
  INVALID_HANDLE = 400, NOT_FOUND = 500, LAUNCH_FAILED = 719, NOT_SUPPORTED = 801
};
enum { MAJOR = 8, MINOR = 0, MAX_THREADS = 1024, MAX_SHARED = 48 << 10, PROCESSORS = 2 };

// What the tests count, and set; the Python package reads and writes it. A failure is the status that such requests
// are answered with, which are then not carried out.
struct Requests { long launches, allocations, to_host, synchronisations; };
EXPORT Requests stand_in_counts, stand_in_failures;
EXPORT int stand_in_flush_subnormals;

// Count a request; the answer is OK unless a test wants a failure.
inline int request(long Requests::*which) {
  stand_in_counts.*which += 1;
  return int(stand_in_failures.*which);
}

typedef void (*EntryPoint)(void** arguments);

// Run the whole grid; false if the kernel trapped, or its threads wait for one another.
bool run_grid(EntryPoint, StandInContext*, StandInUint3 grid, StandInUint3 block, void** arguments);
