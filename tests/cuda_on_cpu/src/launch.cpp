// Kernels run block after block, and the threads of a block as fibers that take turns at barriers.
//
// A fiber starts the threads of the block one after another, and switches nowhere while none of them waits. A thread
// that waits parks its fiber, and a new fiber goes on with the threads that have not started. Once every thread is
// parked or done, those whose barrier is complete go on.
#include <sys/mman.h>
#include <xmmintrin.h>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <vector>
#include "device.h"

// Save the callee-saved registers on this stack, and go to another.
extern "C" void stand_in_switch(void** save_stack, void* to_stack);
asm(R"(
.text
.globl stand_in_switch
.hidden stand_in_switch
.type stand_in_switch,@function
stand_in_switch:
  push %rbp; push %rbx; push %r12; push %r13; push %r14; push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15; pop %r14; pop %r13; pop %r12; pop %rbx; pop %rbp
  ret
.size stand_in_switch,.-stand_in_switch
)");

namespace {

enum State : unsigned char { NEW, RUNNING, WAITS, DONE };
struct Fiber { void* stack; char* memory; unsigned thread; StandInUint3 index; unsigned mask; bool parked; };

const size_t STACK = 256 << 10, GUARD = 4096;

std::mutex one_kernel_at_a_time;
std::vector<Fiber*> idle;     // their stacks are used again
std::vector<Fiber*> parked;   // in the order of their threads
std::vector<State> states;    // of the threads of the block
std::vector<char> slots;
StandInContext* context;
EntryPoint entry_point;
void** arguments;
Fiber* current;
void* scheduler;
bool trapped;

void fiber_main() {
  for (;;) {
    entry_point(arguments);
    current->parked = false;
    stand_in_switch(&current->stack, scheduler);
  }
}

Fiber* take_fiber() {
  if (!idle.empty()) {
    Fiber* fiber = idle.back();
    idle.pop_back();
    return fiber;
  }
  Fiber* fiber = new Fiber{};
  void* memory = mmap(nullptr, STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) { perror("cuda_on_cpu: no memory for a thread's stack"); abort(); }
  mprotect(memory, GUARD, PROT_NONE);  // to overflow it is a fault
  fiber->memory = static_cast<char*>(memory);
  void** stack = reinterpret_cast<void**>(fiber->memory + STACK - 64);
  *--stack = nullptr;  // for the alignment; fiber_main never returns
  *--stack = reinterpret_cast<void*>(fiber_main);
  for (int saved = 0; saved < 6; saved++) *--stack = nullptr;
  fiber->stack = stack;
  return fiber;
}

void resume(Fiber* fiber) {
  current = fiber;
  stand_in_switch(&scheduler, fiber->stack);
  (fiber->parked ? parked : idle).push_back(fiber);
}

unsigned live(unsigned warp) {
  unsigned lanes = 0;
  for (unsigned lane = 0; lane < 32 && warp * 32 + lane < context->threads; lane++) {
    lanes |= unsigned(states[warp * 32 + lane] != DONE) << lane;
  }
  return lanes;
}

void wait_at_barrier(unsigned mask) {
  Fiber* fiber = current;
  StandInUint3 at = context->thread, size = context->block_size;
  fiber->thread = at.x + size.x * (at.y + size.y * at.z);
  fiber->index = at;
  fiber->mask = mask;
  fiber->parked = true;
  states[fiber->thread] = WAITS;
  stand_in_switch(&fiber->stack, scheduler);
  context->thread = fiber->index;
  states[fiber->thread] = RUNNING;
}

void trap() {
  trapped = true;
  wait_at_barrier(0);
}

void* slot(unsigned thread) { return &slots[thread * 16]; }

const StandInApi api = {wait_at_barrier, slot, live, trap};

// Take those whose barrier is complete out of the parked fibers: first those of warps, and where no warp can go on,
// all, if they wait for the whole block.
std::vector<Fiber*> take_released() {
  std::vector<unsigned> arrived((context->threads + 31) / 32, 0);
  for (Fiber* fiber : parked) {
    if (fiber->mask) arrived[fiber->thread / 32] |= 1u << (fiber->thread & 31);
  }
  std::vector<Fiber*> go, stay;
  bool all_for_block = true;
  for (Fiber* fiber : parked) {
    unsigned warp = fiber->thread / 32;
    bool complete = fiber->mask && (live(warp) & fiber->mask & ~arrived[warp]) == 0;
    (complete ? go : stay).push_back(fiber);
    all_for_block = all_for_block && !fiber->mask;
  }
  if (go.empty() && all_for_block) go.swap(stay);
  parked.swap(stay);
  return go;
}

bool give_up() {
  if (!trapped) {
    StandInUint3 at = context->block;
    fprintf(stderr, "cuda_on_cpu: threads of block (%u, %u, %u) wait at different barriers\n", at.x, at.y, at.z);
  }
  for (Fiber* fiber : parked) {
    munmap(fiber->memory, STACK);
    delete fiber;
  }
  parked.clear();
  return false;
}

bool run_block() {
  context->next = 0;
  states.assign(context->threads, NEW);
  while (context->next < context->threads) {
    unsigned first = context->next;
    resume(take_fiber());
    // all that it started are done, but for the last one, where it may be parked
    for (unsigned t = first; t < context->next; t++) if (states[t] == NEW) states[t] = DONE;
  }
  while (!parked.empty()) {
    std::vector<Fiber*> released;
    if (!trapped) released = take_released();
    if (released.empty()) return give_up();
    for (Fiber* fiber : released) {
      resume(fiber);
      if (!fiber->parked) states[fiber->thread] = DONE;
    }
  }
  return true;
}

bool run_blocks(StandInUint3 grid) {
  for (unsigned z = 0; z < grid.z; z++) {
    for (unsigned y = 0; y < grid.y; y++) {
      for (unsigned x = 0; x < grid.x; x++) {
        context->block = {x, y, z};
        if (!run_block()) return false;
      }
    }
  }
  return true;
}

}  // namespace

bool run_grid(EntryPoint entry, StandInContext* of_module, StandInUint3 grid, StandInUint3 block, void** values) {
  std::lock_guard<std::mutex> guard(one_kernel_at_a_time);
  entry_point = entry;
  context = of_module;
  arguments = values;
  trapped = false;
  context->grid_size = grid;
  context->block_size = block;
  context->threads = block.x * block.y * block.z;
  context->api = &api;
  slots.resize(size_t(context->threads) * 16);
  const unsigned FLUSH_TO_ZERO = 0x8040;  // results and operands
  unsigned control = _mm_getcsr();
  if (stand_in_flush_subnormals) _mm_setcsr(control | FLUSH_TO_ZERO);
  bool done = run_blocks(grid);
  _mm_setcsr(control);
  return done;
}
