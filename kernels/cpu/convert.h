// SPDX-License-Identifier: Apache-2.0
// Conversions between dtypes that other CPU ops use on their scratch. Pure functions.
#pragma once

#include "kernels/api/dtype.h"

#include <cstdint>

namespace eigenscope::cpu {

// y[i] = x[i] in the other dtype, for count elements, in the calling thread.
void convertRow(const void* x, DType from, void* y, DType to, std::int64_t count);
// The same on several threads when it is worth it.
void convertElements(int threads, const void* x, DType from, void* y, DType to, std::int64_t count);
// y[i] = x[i] rounded to the nearest bfloat16, kept as float32.
void roundRowToBf16(const float* x, float* y, std::int64_t count);

}  // namespace eigenscope::cpu
