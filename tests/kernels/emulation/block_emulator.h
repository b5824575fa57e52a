// SPDX-License-Identifier: Apache-2.0
// Runs a CUDA kernel on the host: blocks one after the other, the threads of a block as fibers that take
// turns from barrier to barrier. One grid at a time (one thread calls).
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

namespace eigenscope::emulation {

struct Dim3 {
    unsigned x = 1, y = 1, z = 1;
    constexpr Dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

inline constexpr int kWarp = 32;

// Calls `kernel` once a thread of every block. Throws std::logic_error when threads wait for each other for
// ever, and whatever a thread threw.
void runGrid(Dim3 grid, Dim3 block, std::size_t shared_bytes, const std::function<void()>& kernel);

// For the calling CUDA thread.
const Dim3& threadIndex();
const Dim3& blockIndex();
const Dim3& blockSize();
const Dim3& gridSize();
unsigned char* dynamicSharedMemory();
std::size_t dynamicSharedBytes();
void syncThreads();

// Waits until all 32 lanes of the warp are here with arguments of their own; the last one calls `together`
// with those of all lanes, then all go on. Lanes must pass the same function.
void warpTogether(void* arguments, void (*together)(void* const* lanes));

// Asynchronous copies of the calling thread: what was committed in one group is written when it is waited
// for. Bytes beyond `read` are zero.
void queueCopy(void* shared, const void* global, int bytes, int read);
void commitCopies();
void waitForCopies(int groups_left);

}  // namespace eigenscope::emulation
