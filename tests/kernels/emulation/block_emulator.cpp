// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/emulation/block_emulator.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <csetjmp>
#include <cstring>
#include <deque>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace eigenscope::emulation {

namespace {

constexpr std::size_t kStackBytes = std::size_t{256} << 10;
constexpr std::size_t kMaxShared = std::size_t{227} << 10;  // of a block on sm_90

struct Copy {
    void* to;
    const void* from;
    int bytes, read;
};

struct Warp {
    void* arguments[kWarp];
    void (*together)(void* const*) = nullptr;
    int arrived = 0;
    unsigned generation = 0;
};

struct Fiber {
    std::jmp_buf at;
    void* stack = nullptr;
    bool started = false, finished = false;
    Dim3 thread;
    int warp = 0, lane = 0;
    std::vector<Copy> open;
    std::deque<std::vector<Copy>> committed;
};

struct Emulator {
    std::jmp_buf scheduler;
    ucontext_t first;  // of makecontext's first switch
    std::vector<std::unique_ptr<Fiber>> fibers;
    std::vector<Warp> warps;
    Fiber* current = nullptr;
    const std::function<void()>* kernel = nullptr;
    std::exception_ptr failure;
    Dim3 block_index, block_size, grid_size;
    std::vector<unsigned char> shared;
    unsigned char* shared_begin = nullptr;
    std::size_t shared_bytes = 0;
    int threads = 0, alive = 0, at_barrier = 0;
    unsigned barrier_generation = 0;
    bool progress = false;
};

Emulator& emulator() {
    static Emulator instance;
    return instance;
}

void yield() {
    Emulator& e = emulator();
    if (_setjmp(e.current->at) == 0)
        _longjmp(e.scheduler, 1);
}

// A fiber never returns: it is given the next block's thread.
void fiberMain() {
    for (;;) {
        Emulator& e = emulator();
        try {
            (*e.kernel)();
        } catch (...) {
            if (!e.failure)
                e.failure = std::current_exception();
        }
        e.current->finished = true;
        e.progress = true;
        --e.alive;
        yield();
    }
}

void enter(Fiber& fiber) {
    Emulator& e = emulator();
    e.current = &fiber;
    if (_setjmp(e.scheduler) != 0)
        return;
    if (fiber.started)
        _longjmp(fiber.at, 1);
    fiber.started = true;
    ucontext_t context;
    getcontext(&context);
    context.uc_stack.ss_sp = fiber.stack;
    context.uc_stack.ss_size = kStackBytes;
    context.uc_link = nullptr;
    makecontext(&context, fiberMain, 0);
    setcontext(&context);
}

void makeFibers(int count) {
    Emulator& e = emulator();
    while (static_cast<int>(e.fibers.size()) < count) {
        auto fiber = std::make_unique<Fiber>();
        fiber->stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (fiber->stack == MAP_FAILED)
            throw std::bad_alloc();
        e.fibers.push_back(std::move(fiber));
    }
}

void releaseBarrier() {
    Emulator& e = emulator();
    if (e.at_barrier != 0 && e.at_barrier == e.alive) {
        e.at_barrier = 0;
        ++e.barrier_generation;
        e.progress = true;
    }
}

[[noreturn]] void failStuck(const char* what) {
    Emulator& e = emulator();
    // Fibers stopped in the middle of a kernel cannot be used again.
    for (auto& fiber : e.fibers)
        munmap(fiber->stack, kStackBytes);
    e.fibers.clear();
    if (e.failure)
        std::rethrow_exception(e.failure);
    throw std::logic_error(std::string(what) + ": " + std::to_string(e.at_barrier) + " of " +
                           std::to_string(e.alive) + " threads wait at a block's barrier");
}

void runBlock(bool backwards) {
    Emulator& e = emulator();
    std::memset(e.shared_begin, 0xff, e.shared_bytes);
    e.alive = e.threads;
    e.at_barrier = 0;
    for (Warp& warp : e.warps)
        warp.arrived = 0;
    for (int i = 0; i < e.threads; ++i) {
        Fiber& fiber = *e.fibers[static_cast<std::size_t>(i)];
        fiber.finished = false;
        fiber.open.clear();
        fiber.committed.clear();
        const unsigned index = static_cast<unsigned>(i);
        fiber.thread = {index % e.block_size.x, index / e.block_size.x % e.block_size.y,
                        index / e.block_size.x / e.block_size.y};
        fiber.warp = i / kWarp;
        fiber.lane = i % kWarp;
    }
    while (e.alive > 0) {
        e.progress = false;
        for (int i = 0; i < e.threads; ++i) {
            Fiber& fiber = *e.fibers[static_cast<std::size_t>(backwards ? e.threads - 1 - i : i)];
            if (!fiber.finished)
                enter(fiber);
        }
        releaseBarrier();
        if (e.failure || !e.progress)
            failStuck("threads of a block wait for ever");
    }
}

}  // namespace

void runGrid(Dim3 grid, Dim3 block, std::size_t shared_bytes, const std::function<void()>& kernel) {
    Emulator& e = emulator();
    const std::uint64_t threads = std::uint64_t{block.x} * block.y * block.z;
    if (threads == 0 || threads > 1024 || threads % kWarp != 0)
        throw std::logic_error("a block of " + std::to_string(threads) + " threads");
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.y > 65535 || grid.z > 65535)
        throw std::logic_error("a grid of " + std::to_string(grid.x) + " x " + std::to_string(grid.y) +
                               " x " + std::to_string(grid.z) + " blocks");
    if (shared_bytes > kMaxShared)
        throw std::logic_error("a block with " + std::to_string(shared_bytes) + " bytes of shared memory");
    e.threads = static_cast<int>(threads);
    e.warps.assign(static_cast<std::size_t>(e.threads / kWarp), Warp{});
    e.kernel = &kernel;
    e.failure = nullptr;
    e.block_size = block;
    e.grid_size = grid;
    e.shared_bytes = shared_bytes;
    e.shared.assign(shared_bytes + 128, 0);
    const auto address = reinterpret_cast<std::uintptr_t>(e.shared.data());
    e.shared_begin = e.shared.data() + (128 - address % 128) % 128;
    makeFibers(e.threads);
    for (unsigned z = 0; z < grid.z; ++z)
        for (unsigned y = 0; y < grid.y; ++y)
            for (unsigned x = 0; x < grid.x; ++x) {
                e.block_index = {x, y, z};
                runBlock((x + y + z) % 2 != 0);
            }
    // Writes behind shared memory would change its tail, which is zero.
    for (const unsigned char* p = e.shared_begin + shared_bytes; p != e.shared.data() + e.shared.size(); ++p)
        if (*p != 0)
            throw std::logic_error("a block wrote behind its shared memory");
}

const Dim3& threadIndex() { return emulator().current->thread; }
const Dim3& blockIndex() { return emulator().block_index; }
const Dim3& blockSize() { return emulator().block_size; }
const Dim3& gridSize() { return emulator().grid_size; }
unsigned char* dynamicSharedMemory() { return emulator().shared_begin; }
std::size_t dynamicSharedBytes() { return emulator().shared_bytes; }

void syncThreads() {
    Emulator& e = emulator();
    const unsigned generation = e.barrier_generation;
    ++e.at_barrier;
    e.progress = true;
    while (e.barrier_generation == generation)
        yield();
}

void warpTogether(void* arguments, void (*together)(void* const*)) {
    Emulator& e = emulator();
    Warp& warp = e.warps[static_cast<std::size_t>(e.current->warp)];
    if (warp.arrived == 0)
        warp.together = together;
    else if (warp.together != together)
        throw std::logic_error("lanes of a warp execute different warp-wide instructions");
    warp.arguments[e.current->lane] = arguments;
    e.progress = true;
    if (++warp.arrived == kWarp) {
        together(warp.arguments);
        warp.arrived = 0;
        ++warp.generation;
        return;
    }
    const unsigned generation = warp.generation;
    while (warp.generation == generation)
        yield();
}

void queueCopy(void* shared, const void* global, int bytes, int read) {
    if (reinterpret_cast<std::uintptr_t>(shared) % static_cast<unsigned>(bytes) != 0 ||
        (read > 0 && reinterpret_cast<std::uintptr_t>(global) % static_cast<unsigned>(bytes) != 0))
        throw std::logic_error("an asynchronous copy of " + std::to_string(bytes) + " bytes is misaligned");
    emulator().current->open.push_back({shared, global, bytes, read});
}

void commitCopies() {
    Fiber& fiber = *emulator().current;
    fiber.committed.push_back(std::move(fiber.open));
    fiber.open.clear();
}

void waitForCopies(int groups_left) {
    Fiber& fiber = *emulator().current;
    while (static_cast<int>(fiber.committed.size()) > groups_left) {
        for (const Copy& copy : fiber.committed.front()) {
            std::memset(copy.to, 0, static_cast<std::size_t>(copy.bytes));
            std::memcpy(copy.to, copy.from, static_cast<std::size_t>(copy.read));
        }
        fiber.committed.pop_front();
    }
}

}  // namespace eigenscope::emulation
