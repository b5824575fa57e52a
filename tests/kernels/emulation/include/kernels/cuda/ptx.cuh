// SPDX-License-Identifier: Apache-2.0
// Stands in for kernels/cuda/ptx.cuh: the same functions, computed lane by lane from the layouts that the PTX
// ISA gives for mma.m16n8k16 and ldmatrix.
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>
#include <type_traits>

namespace eigenscope::cuda {

namespace emulated {

template <typename T>
float element(unsigned pair, int which) {
    const auto bits = static_cast<std::uint16_t>(which ? pair >> 16 : pair & 0xffffu);
    return std::is_same_v<T, __half> ? fromF16(bits) : fromBf16(bits);
}

struct MmaLane {
    float* c;
    const unsigned* a;
    const unsigned* b;
};

template <typename T>
void mma(void* const* lanes) {
    float a[16][16], b[16][8];
    for (int lane = 0; lane < 32; ++lane) {
        const auto& mine = *static_cast<const MmaLane*>(lanes[lane]);
        const int row = lane / 4, column = lane % 4 * 2;
        for (int i = 0; i < 2; ++i) {
            a[row][column + i] = element<T>(mine.a[0], i);
            a[row + 8][column + i] = element<T>(mine.a[1], i);
            a[row][column + 8 + i] = element<T>(mine.a[2], i);
            a[row + 8][column + 8 + i] = element<T>(mine.a[3], i);
            b[column + i][row] = element<T>(mine.b[0], i);
            b[column + 8 + i][row] = element<T>(mine.b[1], i);
        }
    }
    for (int lane = 0; lane < 32; ++lane) {
        const auto& mine = *static_cast<const MmaLane*>(lanes[lane]);
        for (int i = 0; i < 4; ++i) {
            const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
            float sum = mine.c[i];
            for (int k = 0; k < 16; ++k)
                sum += a[row][k] * b[k][column];
            mine.c[i] = sum;
        }
    }
}

struct MmaDoubleLane {
    double* c;
    const double* a;
    double b;
};

inline void mmaDouble(void* const* lanes) {
    double a[16][4], b[4][8];
    for (int lane = 0; lane < 32; ++lane) {
        const auto& mine = *static_cast<const MmaDoubleLane*>(lanes[lane]);
        a[lane / 4][lane % 4] = mine.a[0];
        a[lane / 4 + 8][lane % 4] = mine.a[1];
        b[lane % 4][lane / 4] = mine.b;
    }
    for (int lane = 0; lane < 32; ++lane) {
        const auto& mine = *static_cast<const MmaDoubleLane*>(lanes[lane]);
        for (int i = 0; i < 4; ++i)
            for (int k = 0; k < 4; ++k)
                mine.c[i] += a[lane / 4 + i / 2 * 8][k] * b[k][lane % 4 * 2 + i % 2];
    }
}

struct MatrixLane {
    const void* row;
    unsigned* to;
};

template <int kCount, bool kTransposed>
void loadMatrices(void* const* lanes) {
    for (int matrix = 0; matrix < kCount; ++matrix)
        for (int lane = 0; lane < 32; ++lane) {
            std::uint16_t pair[2];
            for (int i = 0; i < 2; ++i) {
                const int row = kTransposed ? lane % 4 * 2 + i : lane / 4;
                const int column = kTransposed ? lane / 4 : lane % 4 * 2 + i;
                const void* address = static_cast<const MatrixLane*>(lanes[matrix * 8 + row])->row;
                if (reinterpret_cast<std::uintptr_t>(address) % 16 != 0)
                    throw std::logic_error("ldmatrix: a row does not begin at a multiple of 16 bytes");
                pair[i] = static_cast<const std::uint16_t*>(address)[column];
            }
            static_cast<const MatrixLane*>(lanes[lane])->to[matrix] = pair[0] | unsigned{pair[1]} << 16;
        }
}

struct TransposeLane {
    unsigned from, to;
};

inline void transpose(void* const* lanes) {
    for (int lane = 0; lane < 32; ++lane) {
        unsigned pair[2];
        for (int i = 0; i < 2; ++i) {
            const int row = lane % 4 * 2 + i, column = lane / 4;
            const unsigned from = static_cast<const TransposeLane*>(lanes[row * 4 + column / 2])->from;
            pair[i] = column % 2 ? from >> 16 : from & 0xffffu;
        }
        static_cast<TransposeLane*>(lanes[lane])->to = pair[0] | pair[1] << 16;
    }
}

}  // namespace emulated

template <typename T>
void mma16816(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    emulated::MmaLane mine{c, a, b};
    emulation::warpTogether(&mine, emulated::mma<T>);
}

inline void mma1684(double (&c)[4], const double (&a)[2], double b) {
    emulated::MmaDoubleLane mine{c, a, b};
    emulation::warpTogether(&mine, emulated::mmaDouble);
}

inline void loadMatrix4(unsigned (&to)[4], const void* row) {
    emulated::MatrixLane mine{row, to};
    emulation::warpTogether(&mine, emulated::loadMatrices<4, false>);
}
inline void loadMatrix4Transposed(unsigned (&to)[4], const void* row) {
    emulated::MatrixLane mine{row, to};
    emulation::warpTogether(&mine, emulated::loadMatrices<4, true>);
}
inline void loadMatrix2(unsigned (&to)[2], const void* row) {
    emulated::MatrixLane mine{row, to};
    emulation::warpTogether(&mine, emulated::loadMatrices<2, false>);
}
inline void loadMatrix2Transposed(unsigned (&to)[2], const void* row) {
    emulated::MatrixLane mine{row, to};
    emulation::warpTogether(&mine, emulated::loadMatrices<2, true>);
}

inline unsigned transposeMatrix(unsigned from) {
    emulated::TransposeLane mine{from, 0};
    emulation::warpTogether(&mine, emulated::transpose);
    return mine.to;
}

inline void copyAsync16(void* shared, const void* global) { emulation::queueCopy(shared, global, 16, 16); }
inline void copyAsync16(void* shared, const void* global, bool valid) {
    emulation::queueCopy(shared, global, 16, valid ? 16 : 0);
}
inline void copyAsync16Part(void* shared, const void* global, int bytes) {
    emulation::queueCopy(shared, global, 16, bytes);
}
inline void copyAsync4(void* shared, const void* global, bool valid) {
    emulation::queueCopy(shared, global, 4, valid ? 4 : 0);
}
inline void commitCopies() { emulation::commitCopies(); }
template <int kGroupsLeft>
void waitForCopies() {
    emulation::waitForCopies(kGroupsLeft);
}

template <typename T>
unsigned packPair(float low, float high) {
    if constexpr (std::is_same_v<T, __half>)
        return toF16(low) | unsigned{toF16(high)} << 16;
    else
        return toBf16(low) | unsigned{toBf16(high)} << 16;
}
inline float fastExp2(float x) { return std::exp2(x); }

}  // namespace eigenscope::cuda
