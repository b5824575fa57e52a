// SPDX-License-Identifier: Apache-2.0
// PTX instructions that CUDA C++ has no functions for (PTX ISA; from sm_80 on). T is __half or
// __nv_bfloat16; two elements of it share a 32-bit register, the lower index in the lower half.
// (tests/kernels/emulation has another file of this name, which computes the same on the host.)
#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

namespace eigenscope::cuda {

// c [16, 8] += a [16, 16] b [16, 8], float32 sums, by one warp. With g = lane / 4 and t = lane % 4 * 2 a lane
// holds of a: rows g, g + 8 of columns t, t + 1, then of columns t + 8, t + 9; of b: rows t, t + 1, then
// t + 8, t + 9, of column g; of c: columns t, t + 1 of row g, then of row g + 8.
template <typename T>
__device__ __forceinline__ void mma16816(float (&c)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    if constexpr (std::is_same_v<T, __half>)
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
            "{%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
    else
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
            "{%0,%1,%2,%3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// c [16, 8] += a [16, 4] b [4, 8] in float64 by one warp. With g = lane / 4 and t = lane % 4 a lane holds of
// a: rows g, g + 8 of column t; of b: row t of column g; of c: columns 2 t, 2 t + 1 of row g, then of row g
// + 8. In one instruction from sm_90 on, before in two for the upper and the lower half.
__device__ __forceinline__ void mma1684(double (&c)[4], const double (&a)[2], double b) {
#if __CUDA_ARCH__ >= 900
    asm volatile(
        "mma.sync.aligned.m16n8k4.row.col.f64.f64.f64.f64 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+d"(c[0]), "+d"(c[1]), "+d"(c[2]), "+d"(c[3])
        : "d"(a[0]), "d"(a[1]), "d"(b));
#else
    for (int half = 0; half < 2; ++half)
        asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
                     : "+d"(c[2 * half]), "+d"(c[2 * half + 1])
                     : "d"(a[half]), "d"(b));
#endif
}

__device__ __forceinline__ unsigned sharedAddress(const void* shared) {
    return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// Loads 8 x 8 matrices of 16-bit elements from shared memory: lanes 8 i to 8 i + 7 give the addresses of the
// rows of matrix i, each at a multiple of 16 bytes (with two matrices those of lanes 16 and up are ignored).
// A lane gets elements t, t + 1 of row g of each; transposed, elements g of rows t, t + 1.
__device__ __forceinline__ void loadMatrix4(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(sharedAddress(row))
                 : "memory");
}
__device__ __forceinline__ void loadMatrix4Transposed(unsigned (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(sharedAddress(row))
                 : "memory");
}
__device__ __forceinline__ void loadMatrix2(unsigned (&to)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0,%1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1])
                 : "r"(sharedAddress(row))
                 : "memory");
}
__device__ __forceinline__ void loadMatrix2Transposed(unsigned (&to)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0,%1}, [%2];"
                 : "=r"(to[0]), "=r"(to[1])
                 : "r"(sharedAddress(row))
                 : "memory");
}

// Transposes an 8 x 8 matrix of 16-bit elements that lies in a warp's registers: a lane gives elements t, t +
// 1 of row g and gets elements g of rows t, t + 1.
__device__ __forceinline__ unsigned transposeMatrix(unsigned from) {
    unsigned to;
    asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(to) : "r"(from));
    return to;
}

// Asynchronous copies from global to shared memory, both at multiples of the size: 16 bytes past the first
// cache, of which only the first `bytes` are read and the rest is zero; or all or nothing when not `valid`.
__device__ __forceinline__ void copyAsync16Part(void* shared, const void* global, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(sharedAddress(shared)), "l"(global),
                 "r"(bytes)
                 : "memory");
}
__device__ __forceinline__ void copyAsync16(void* shared, const void* global) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(sharedAddress(shared)), "l"(global)
                 : "memory");
}
__device__ __forceinline__ void copyAsync16(void* shared, const void* global, bool valid) {
    copyAsync16Part(shared, global, valid ? 16 : 0);
}
__device__ __forceinline__ void copyAsync4(void* shared, const void* global, bool valid) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(sharedAddress(shared)), "l"(global),
                 "r"(valid ? 4 : 0)
                 : "memory");
}
// Ends a group of the thread's copies; the newest kGroupsLeft groups may still be under way after a wait.
// Other threads see the copies after a barrier that follows.
__device__ __forceinline__ void commitCopies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kGroupsLeft>
__device__ __forceinline__ void waitForCopies() {
    asm volatile("cp.async.wait_group %0;" ::"n"(kGroupsLeft) : "memory");
}

// Two numbers rounded to T (to nearest, ties to even) in one register, `low` in its lower half.
template <typename T>
__device__ __forceinline__ unsigned packPair(float low, float high) {
    unsigned pair;
    if constexpr (std::is_same_v<T, __half>)
        asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    else
        asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
}

// 2^x to about 2 units in the last place; 0 for minus infinity and for results below float32's normal range.
__device__ __forceinline__ float fastExp2(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

}  // namespace eigenscope::cuda
