// SPDX-License-Identifier: Apache-2.0
// The pieces of attention with many query rows: packing the keys and values of one head, and one task of
// query rows.
#pragma once

#include "kernels/cpu/attention_plan.h"

namespace eigenscope::cpu {

inline constexpr std::int64_t kRowBlock = 64;  // query rows of a task: queries, scores and sums stay in L2

// One key/value head laid out for many query rows. Block i holds the keys key_begin + i * kKeyBlock + [0,
// kKeyBlock).
struct PackedHead {
    const AttentionParams* params = nullptr;
    const AttentionShape* shape = nullptr;
    std::int32_t batch = 0, kv_head = 0;
    std::int64_t key_begin = 0;
    const float* basis = nullptr;  // [key_width, query_pad] of this head, or null
    const float* mean = nullptr;   // [query_pad] of this head, or null
    float* keys = nullptr;  // [blocks, panels, query_width, keys of a panel]: transposed, lifted, float32
    float* values =
        nullptr;  // [blocks, panels, kKeyBlock, columns of a panel] in float32; value_pad columns in all
};

// A thread's private memory.
struct PrefillScratch {
    float* query = nullptr;    // [kRowBlock, query_pad], scaled
    float* scores = nullptr;   // [kRowBlock, kKeyBlock]
    float* out = nullptr;      // [kRowBlock, value_pad]
    float* state = nullptr;    // [kRowBlock, 2]: running maximum and sum
    float* keys = nullptr;     // [kKeyBlock, query_pad], before they are transposed
    float* latents = nullptr;  // [kKeyBlock, latent_pad], widened

    static std::int64_t floats(const AttentionShape& s);
    PrefillScratch(float* memory, const AttentionShape& s);
};

void packHeadBlock(const PackedHead& head, std::int64_t block, const PrefillScratch& scratch);
void runPrefillTask(const PackedHead& head, const QueryRows& rows, const PrefillScratch& scratch);

}  // namespace eigenscope::cpu
