// SPDX-License-Identifier: GPL-3.0-or-later
// What a plan means in memory, as the engine counts it. Pure functions.
#pragma once

#include "core/generation/generate.h"
#include "core/spectrum/rank_plan.h"

#include <cstdint>

namespace eigenscope {

// The configuration that converting with this plan gives, as far as the KV cache is concerned.
ModelConfig convertedConfig(const ModelConfig& original, const RankPlan& plan);

// The format a run of it uses by default, on top of a cache of `dtype`.
KvFormat convertedFormat(const RankPlan& plan, DType dtype);

struct PlanBudget {
    std::size_t bytes_before = 0, bytes_after = 0;       // KV cache, a token of one sequence
    std::int64_t context_before = 0, context_after = 0;  // longest that fits in the memory, batch 1
};
PlanBudget planBudget(const ModelConfig& original, const RankPlan& plan, DType kv_dtype,
                      std::int64_t weight_bytes, std::int64_t memory_bytes);

}  // namespace eigenscope
