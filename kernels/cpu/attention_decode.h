// SPDX-License-Identifier: Apache-2.0
// One task of attention with few query rows: the kernel behind attentionDecode().
#pragma once

#include "kernels/cpu/attention_plan.h"

namespace eigenscope::cpu {

// Cached rows that are made float32 at a time: they stay in L1 until they are used.
inline constexpr std::int64_t kTileKeys = 16;

// A task's private memory, cut from one array of `floats(...)` elements.
struct DecodeScratch {
    float* query = nullptr;    // [rows, query_pad], scaled
    float* scores = nullptr;   // [rows, kKeyBlock]
    float* out = nullptr;      // [rows, value_pad]
    float* keys = nullptr;     // [kKeyBlock, query_pad], lifted
    float* latents = nullptr;  // [kKeyBlock, latent_pad] and a vector more, widened
    float* state = nullptr;    // [rows, 2]: running maximum and sum
    CacheTile key_tile;        // kTileKeys rows of a quantised cache; with a lift `latents`
    CacheTile value_tile;      // kTileKeys rows

    static std::int64_t floats(const AttentionParams& p, const AttentionShape& s, std::int64_t rows);
    DecodeScratch(float* memory, const AttentionParams& p, const AttentionShape& s, std::int64_t rows);
};

struct DecodeTask {
    const AttentionParams* params = nullptr;
    const AttentionShape* shape = nullptr;
    QueryRows rows;
    std::int64_t key_begin = 0, key_end = 0;
    const float* basis = nullptr;  // [key_width, query_pad] of this head, or null
    const float* mean = nullptr;   // [query_pad] of this head, or null
    float* partial =
        nullptr;  // [rows, value_pad + kPadLanes]: unnormalised sums, then maximum and sum; or null
};

// Runs a task; without `partial` the result goes to the op's output.
void runDecodeTask(const DecodeTask& task, const DecodeScratch& scratch);

}  // namespace eigenscope::cpu
