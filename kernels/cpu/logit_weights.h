// SPDX-License-Identifier: Apache-2.0
// What a thread needs for one query head of the op logitWeights; kernels/cpu/logit_weights.cpp alone uses it.
#pragma once

#include "kernels/api/ops.h"

#include <cstdint>

namespace eigenscope::cpu {

struct LogitHead {
    std::int64_t rows = 0;        // keys that any sample sees
    std::int64_t pitch = 0;       // floats of a row below: the width, and zeros
    float* keys = nullptr;        // [rows, pitch], rotated
    float* projected = nullptr;   // [rows, pitch]: values through the head's root
    float* root = nullptr;        // [width, pitch]
    float* query = nullptr;       // [pitch], a sample's, rotated
    float* output = nullptr;      // [pitch], a sample's, through the root
    float* dots = nullptr;        // [rows + kPadFloats]
    float* changes = nullptr;     // [rows + kPadFloats]
    double* attention = nullptr;  // [rows + kPadFloats]
};

inline constexpr std::int64_t kPadFloats = 32;  // two of the widest vectors

}  // namespace eigenscope::cpu
