// SPDX-License-Identifier: Apache-2.0
// Matrix products with few rows of x, which are bound by the speed at which the weight is read: each weight
// row is read once, in its own dtype, and multiplied with all rows of x in float32.
#pragma once

#include "kernels/api/dtype.h"

#include <cstdint>

namespace eigenscope::cpu {

inline constexpr std::int64_t kMatvecRows = 8;  // the most rows of x

struct MatvecArgs {
    const float* x = nullptr;      // packed by packRows
    const void* weight = nullptr;  // [n, k] of weight_dtype
    DType weight_dtype = DType::F32;
    bool round_weight = false;    // to bfloat16 before multiplying
    const float* bias = nullptr;  // [n] or null
    float* y = nullptr;           // [m, n]
    std::int64_t m = 0, n = 0, k = 0;
    bool accumulate = false;
};

// Rows of x interleaved in blocks of 16 elements, [ceil(k / 16), m, 16], zero padded: one stream of loads,
// and rows whose distance is a power of two do not evict each other. With `round`, elements are rounded to
// bfloat16.
std::int64_t packedFloats(std::int64_t m, std::int64_t k);
void packRows(const float* x, std::int64_t m, std::int64_t k, bool round, float* packed);

// Columns [begin, end) of y, in the calling thread. 1 <= m <= kMatvecRows.
void matvecColumns(const MatvecArgs& args, std::int64_t begin, std::int64_t end);

}  // namespace eigenscope::cpu
