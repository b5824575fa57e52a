// SPDX-License-Identifier: Apache-2.0
// What the attention kernels share: block sizes, padded widths and the description of one task. Attention
// runs as tasks that own a rectangle: some query rows of one key/value head times a range of keys. A query
// row is a pair (position m, query head of the group), numbered m * group + head, which is also its order in
// memory.
#pragma once

#include "kernels/api/kv_layout.h"
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

// Which copy of a quantised cache's rows is read. Where queries read older rows from codes and recent ones
// exactly, the op is the sum over the combinations, each over the keys that its queries read that way: an
// online softmax does not care about the order.
struct KeySource {
    bool keys_exact = false, values_exact = false;
};
inline constexpr KeySource kKeySources[] = {{false, false}, {true, false}, {false, true}, {true, true}};
inline bool hasSource(const AttentionParams& p, const KeySource& source) {
    return (!source.keys_exact || kvNeedsRing(p.keys)) && (!source.values_exact || kvNeedsRing(p.values));
}

// Keys that rows at positions [first, last] see: [begin, end).
struct KeyRange {
    std::int64_t begin = 0, end = 0;
};
inline KeyRange visibleKeys(const AttentionParams& p, std::int64_t first, std::int64_t last) {
    const std::int64_t begin = p.window > 0 ? std::max<std::int64_t>(0, first - p.window + 1) : 0;
    return {begin, last + 1};
}
// The same for one combination; both ends grow with the position. May be empty, end < begin.
inline KeyRange visibleKeys(const AttentionParams& p, const KeySource& source, std::int64_t first,
                            std::int64_t last) {
    KeyRange range = visibleKeys(p, first, last);
    const auto cut = [&](const KvView& v, bool exact) {
        if (exact)
            range.begin = std::max(range.begin, kvStoredEnd(v, first));
        else
            range.end = std::min(range.end, kvStoredEnd(v, last));
    };
    cut(p.keys, source.keys_exact);
    cut(p.values, source.values_exact);
    return range;
}

// A place for rows of a quantised cache as float32.
struct CacheTile {
    float* rows = nullptr;    // [rows, pad] and a vector more
    std::int64_t pad = 0;     // the padded width
    float* scales = nullptr;  // scales and minima of the rows' groups
};
// Elements of CacheTile::scales for `rows` rows of a view; 0 for a dense one.
inline std::int64_t tileScales(const KvView& v, std::int64_t rows) {
    if (v.bits == 0)
        return 0;
    return v.grouping == KvGrouping::Token ? padded(rows * kvScaleStride(v)) : 2 * padded(v.width);
}
inline std::int64_t tileRows(const KvView& v, std::int64_t rows) {
    return v.bits == 0 ? 0 : rows * padded(v.width) + kPadLanes;
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
