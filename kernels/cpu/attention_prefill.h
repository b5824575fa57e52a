// SPDX-License-Identifier: Apache-2.0
// The pieces of attention with many query rows: packing the keys and values of one head, and one task of
// query rows.
#pragma once

#include "kernels/cpu/attention_plan.h"

namespace eigenscope::cpu {

inline constexpr std::int64_t kRowBlock = 64;  // query rows of a task: queries, scores and sums stay in L2

// The keys [begin, end) as one copy of the cache holds them, from block `block` of the packed head on. Block
// i of them holds the keys begin + i * kKeyBlock + [0, kKeyBlock).
struct PackedKeys {
    KeySource source;
    std::int64_t begin = 0, end = 0, block = 0;
    std::int64_t blocks() const { return (end - begin + kKeyBlock - 1) / kKeyBlock; }
};

// What a call packs: one part, or up to four where queries read older keys from codes and recent ones
// exactly.
struct PackedParts {
    explicit PackedParts(const AttentionParams& p);
    PackedKeys parts[std::size(kKeySources)];
    int count = 0;
    std::int64_t blocks = 0;
};

// One key/value head laid out for many query rows.
struct PackedHead {
    const AttentionParams* params = nullptr;
    const AttentionShape* shape = nullptr;
    std::int32_t batch = 0, kv_head = 0;
    const PackedParts* parts = nullptr;
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
    float* latents = nullptr;  // [kKeyBlock, latent_pad] and a vector more, widened
    CacheTile key_tile;        // kKeyBlock rows of a quantised cache: `latents` with a lift, else `keys`
    CacheTile value_tile;      // kKeyBlock rows

    static std::int64_t floats(const AttentionParams& p, const AttentionShape& s);
    PrefillScratch(float* memory, const AttentionParams& p, const AttentionShape& s);
};

void packHeadBlock(const PackedHead& head, std::int64_t block, const PrefillScratch& scratch);
void runPrefillTask(const PackedHead& head, const QueryRows& rows, const PrefillScratch& scratch);

}  // namespace eigenscope::cpu
