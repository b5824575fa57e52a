// SPDX-License-Identifier: Apache-2.0
// Folding bases into the attention projections (Eigen Attention, arXiv 2408.05646, section 4): as an overlay
// in memory and as a checkpoint on disk.
#pragma once

#include "core/base/job_context.h"
#include "core/calibration/statistics.h"
#include "core/model/model.h"
#include "core/spectrum/rank_plan.h"

#include <filesystem>
#include <optional>
#include <vector>

namespace eigenscope {

// The converted model as an overlay on `original`: shared tensors, new attention projections. Low-rank
// weights keep the original's dtype (sums are done in float64 and rounded once).
OpenModel convertInMemory(JobContext& job, const OpenModel& original, const Statistics& statistics,
                          const Spectrum& spectrum, const RankPlan& plan);

// An overlay in which only this layer's keys (when there is a key rank) and values (likewise) are of low
// rank and cached with these bits, all else is the original's: for measuring what each costs. It runs, but is
// no model to write: other layers have no low-rank weights.
OpenModel convertOneLayer(const JobContext& job, const OpenModel& original, const Statistics& statistics,
                          const Spectrum& spectrum, int layer, std::optional<int> key_rank,
                          std::optional<int> value_rank, const KvBits& bits = {});

// Writes a converted model (from convertInMemory) as a checkpoint directory: config.json with every original
// key and `eigen_attention`, safetensors (sharded like the original when it is), tokenizer files copied.
// Whole or not at all.
void writeConverted(JobContext& job, const OpenModel& original, const OpenModel& converted,
                    const std::filesystem::path& directory);

}  // namespace eigenscope
