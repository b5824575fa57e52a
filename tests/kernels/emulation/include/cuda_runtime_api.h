// SPDX-License-Identifier: Apache-2.0
// What the kernels use of the CUDA toolkit's header of this name, executed by the block emulator; what the
// host code uses of it is in runtime_api.h.
#pragma once

#include "tests/kernels/emulation/block_emulator.h"
#include "tests/kernels/emulation/runtime_api.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>

#define __host__
#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __grid_constant__
#define __restrict__
#define __align__(n) alignas(n)
// Blocks run one after the other, so a block's variables may be static.
#define __shared__ static
#define threadIdx (::eigenscope::emulation::threadIndex())
#define blockIdx (::eigenscope::emulation::blockIndex())
#define blockDim (::eigenscope::emulation::blockSize())
#define gridDim (::eigenscope::emulation::gridSize())

using dim3 = eigenscope::emulation::Dim3;
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(16) double2 {
    double x, y;
};
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }

inline void __syncthreads() { eigenscope::emulation::syncThreads(); }
inline void __syncwarp(unsigned = ~0u) {
    eigenscope::emulation::warpTogether(nullptr, [](void* const*) {});
}
inline void __threadfence() {}

// Function objects in namespaces of their own are not needed: unsigned counters are all that the kernels add.
template <typename T>
T atomicAdd(T* address, T value) {
    const T before = *address;
    *address = before + value;
    return before;
}

template <typename T>
T emulatedShuffle(T value, int source) {
    struct Lane {
        T value;
        int source;
        T result;
    } mine{value, source & 31, T{}};
    eigenscope::emulation::warpTogether(&mine, [](void* const* lanes) {
        for (int i = 0; i < 32; ++i)
            static_cast<Lane*>(lanes[i])->result =
                static_cast<Lane*>(lanes[static_cast<Lane*>(lanes[i])->source])->value;
    });
    return mine.result;
}
inline int emulatedLane() {
    const auto& t = threadIdx;
    const auto& b = blockDim;
    return static_cast<int>((t.x + b.x * (t.y + b.y * t.z)) % 32);
}
template <typename T>
T __shfl_xor_sync(unsigned, T value, int mask) {
    return emulatedShuffle(value, emulatedLane() ^ mask);
}
template <typename T>
T __shfl_sync(unsigned, T value, int source) {
    return emulatedShuffle(value, source);
}
template <typename T>
T __shfl_down_sync(unsigned, T value, int delta) {
    const int lane = emulatedLane();
    return emulatedShuffle(value, lane + delta < 32 ? lane + delta : lane);
}
inline unsigned __ballot_sync(unsigned, int predicate) {
    struct Lane {
        int predicate;
        unsigned result;
    } mine{predicate, 0};
    eigenscope::emulation::warpTogether(&mine, [](void* const* lanes) {
        unsigned bits = 0;
        for (int i = 0; i < 32; ++i)
            bits |= static_cast<unsigned>(static_cast<Lane*>(lanes[i])->predicate != 0) << i;
        for (int i = 0; i < 32; ++i)
            static_cast<Lane*>(lanes[i])->result = bits;
    });
    return mine.result;
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }

inline float __expf(float x) { return std::exp(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __saturatef(float x) { return x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x; }
inline float rsqrtf(float x) { return 1.0f / std::sqrt(x); }
inline unsigned __float_as_uint(float x) {
    unsigned bits;
    std::memcpy(&bits, &x, sizeof bits);
    return bits;
}
inline float __uint_as_float(unsigned bits) {
    float x;
    std::memcpy(&x, &bits, sizeof x);
    return x;
}
template <typename T>
T __ldg(const T* address) {
    return *address;
}
using std::max;
using std::min;
