// SPDX-License-Identifier: Apache-2.0
// What the attention kernels share: block sizes, padded widths and the description of one task. Attention
// runs as tasks that own a rectangle: some query rows of one key/value head times a range of keys. A query
// row is a pair (position m, query head of the group), numbered m * group + head, which is also its order in
// memory.
#pragma once

#include "kernels/api/ops.h"
#include "kernels/cpu/cpu_stream.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>

namespace eigenscope::cpu {

inline constexpr std::int64_t kKeyBlock =
    64;  // keys of one softmax step: their scores and values stay in L1 and L2
inline constexpr std::int64_t kPadLanes = 16;  // rows in scratch are padded to the widest vector

inline std::int64_t padded(std::int64_t width) { return roundUp(width, kPadLanes); }

// Consecutive query rows of one key/value head.
struct QueryRows {
    std::int32_t batch = 0, kv_head = 0;
    std::int64_t first = 0, count = 0;
};

struct AttentionShape {
    explicit AttentionShape(const AttentionParams& p)
        : group(p.query_heads / p.kv_heads),
          kv_length(p.query_position + p.query_length),
          query_pad(padded(p.query_width)),
          value_pad(padded(p.values.width)),
          latent_pad(padded(p.keys.width)) {}
    // Row r of `rows` in query and output, counted in heads.
    std::int64_t rowIndex(const AttentionParams& p, const QueryRows& rows, std::int64_t r) const {
        const std::int64_t m = (rows.first + r) / group, g = (rows.first + r) % group;
        return (rows.batch * std::int64_t{p.query_length} + m) * p.query_heads + rows.kv_head * group + g;
    }
    std::int64_t group;      // query heads of one key/value head
    std::int64_t kv_length;  // rows in the cache
    std::int64_t query_pad, value_pad, latent_pad;
};

// Keys that rows at positions [first, last] see: [begin, end).
struct KeyRange {
    std::int64_t begin = 0, end = 0;
};
inline KeyRange visibleKeys(const AttentionParams& p, std::int64_t first, std::int64_t last) {
    const std::int64_t begin = p.window > 0 ? std::max<std::int64_t>(0, first - p.window + 1) : 0;
    return {begin, last + 1};
}

// The lift's bases transposed and its means, zero padded, in the stream's scratch; null without a lift.
// Rebuilding keys then runs along contiguous head dimensions.
struct LiftedBases {
    const float* basis = nullptr;  // [kv_heads, key_width, query_pad]
    const float* mean = nullptr;   // [kv_heads, query_pad] or null
};
LiftedBases liftedBases(CpuStream& stream, const AttentionParams& p, const AttentionShape& shape);

// The two ways to run the op; both do every shape. Decode reads each cached row straight from the cache;
// prefill first lays the keys of a head out for many query rows.
void attentionDecode(CpuStream& stream, const AttentionParams& p);
void attentionPrefill(CpuStream& stream, const AttentionParams& p);

}  // namespace eigenscope::cpu
