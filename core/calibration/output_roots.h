// SPDX-License-Identifier: Apache-2.0
// What a layer's output projection makes of its heads' outputs.
#pragma once

#include "core/base/job_context.h"
#include "core/model/model.h"

#include <cstdint>
#include <vector>

namespace eigenscope {

// With W_h [hidden, head_dim] the columns of the output projection that belong to query head h.
struct OutputRoots {
    std::vector<double> gram;  // [kv_heads, head_dim, head_dim]: sum over a group's heads of W_h^T W_h
    std::vector<float> roots;  // [query_heads, head_dim, head_dim]: |x root_h| = |W_h x| for rows x
};

inline constexpr std::int64_t kOutputRootRows = 256;  // of the projection that are widened at a time

// Computes on the device, and the roots on `threads` threads of the host (0: as many as there are
// processors). Waits for the stream.
OutputRoots outputRoots(const JobContext& job, Backend& backend, Stream& stream, const Model& model,
                        int layer, int threads);

}  // namespace eigenscope
