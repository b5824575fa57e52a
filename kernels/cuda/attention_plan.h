// SPDX-License-Identifier: Apache-2.0
// How one call of attention is put on the device: which kernel, how the cached sequence is split between
// blocks, and how much temporary memory that takes. Pure functions of the call and the device; host code
// without CUDA headers, so that it is tested everywhere.
#pragma once

#include "kernels/api/ops.h"

#include <cstddef>
#include <optional>

namespace eigenscope::cuda {

struct DeviceLimits {
    int multiprocessors = 132;
    std::size_t shared_bytes = std::size_t{227} << 10;  // of a block, opted in to
};

// General: float32 products on the ordinary cores, any cache; what compute F32 asks for, and whatever the
// tensor cores' kernels have no shape for. Decode: few queries, each block a part of the sequence. Prefill:
// tiles of queries.
enum class AttentionPath { General, Decode, Prefill };

struct AttentionPlan {
    AttentionPath path = AttentionPath::General;
    int splits = 1;                 // parts of the sequence, each a block's
    std::int64_t split_length = 0;  // positions of a part, a multiple of the kernel's tile
    std::size_t scratch_bytes = 0;  // partial results; 0 with one split
    // Rows (queries of heads that share keys) and positions that a block works on at a time, where a path has
    // a choice.
    int tile_rows = 0, tile_positions = 0;
};

AttentionPlan planAttention(const AttentionParams& p, const DeviceLimits& limits);

// Of one path; nothing when its kernels have no shape for the call.
std::optional<AttentionPlan> planDecode(const AttentionParams& p, const DeviceLimits& limits);
std::optional<AttentionPlan> planPrefill(const AttentionParams& p, const DeviceLimits& limits);
AttentionPlan planGeneral(const AttentionParams& p, const DeviceLimits& limits);

// What blocks leave behind when the sequence is split. A row is a query of a head, ((b * query_length + m) *
// query_heads + h); output is the sum of exp(score - largest) value, not yet divided by `total`.
struct AttentionPartials {
    float* output = nullptr;   // [splits, rows, values.width]
    float* largest = nullptr;  // [splits, rows]; minus infinity where a part saw no position
    float* total = nullptr;    // [splits, rows], sums of exp(score - largest)
};
inline std::int64_t attentionRows(const AttentionParams& p) {
    return std::int64_t{1} * p.batch * p.query_length * p.query_heads;
}
inline std::size_t partialBytes(const AttentionParams& p, int splits) {
    return static_cast<std::size_t>(splits * attentionRows(p) * (p.values.width + 2)) * sizeof(float);
}
inline AttentionPartials partialsIn(void* scratch, const AttentionParams& p, int splits) {
    const std::int64_t rows = attentionRows(p);
    auto* output = static_cast<float*>(scratch);
    float* largest = output + splits * rows * p.values.width;
    return {output, largest, largest + splits * rows};
}

}  // namespace eigenscope::cuda
