// What a compiled kernel and the launcher know of each other.
#pragma once
#include <cstddef>

struct StandInUint3 { unsigned x, y, z; };

struct StandInApi {
  // Wait until all live threads of the block (mask == 0), or all live lanes of `mask` in this warp, have arrived.
  void (*barrier)(unsigned mask);
  void* (*slot)(unsigned thread);   // 16 bytes of each thread, through which a warp exchanges values
  unsigned (*live)(unsigned warp);  // the lanes of a warp that still run
  void (*trap)();                   // end the kernel with an error
};

// One for each module; the launcher writes it.
struct StandInContext {
  StandInUint3 thread, block, block_size, grid_size;
  unsigned next, threads;  // the thread of the block to start next, and how many there are
  const StandInApi* api;
};
