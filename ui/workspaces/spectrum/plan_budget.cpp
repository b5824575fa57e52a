// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/plan_budget.h"

#include "core/benchmark/memory_estimate.h"
#include "core/model/kv_cache.h"

namespace eigenscope {

ModelConfig convertedConfig(const ModelConfig& original, const RankPlan& plan) {
    ModelConfig config = original;
    LowRankDescription description;
    description.method = plan.method;
    description.key_ranks = plan.key_ranks;
    description.value_ranks = plan.value_ranks;
    description.kv_bits = plan.kv_bits;
    description.share_key_basis = plan.share_key_basis;
    description.head_group = plan.head_group;
    description.center = plan.center;
    config.low_rank = description;
    return config;
}

KvFormat convertedFormat(const RankPlan& plan, DType dtype) {
    KvFormat format(dtype);
    format.planned = plan.kv_bits.quantises();
    return format;
}

PlanBudget planBudget(const ModelConfig& original, const RankPlan& plan, DType kv_dtype,
                      std::int64_t weight_bytes, std::int64_t memory_bytes) {
    constexpr int kBatch = 1;
    const ModelConfig converted = convertedConfig(original, plan);
    const KvFormat after = convertedFormat(plan, kv_dtype);
    PlanBudget budget;
    budget.bytes_before = kvBytesPerToken(original, kv_dtype);
    budget.bytes_after = kvBytesPerToken(converted, after);
    budget.context_before = longestContext(original, weight_bytes, memory_bytes, kBatch, kv_dtype);
    budget.context_after = longestContext(converted, weight_bytes, memory_bytes, kBatch, after);
    return budget;
}

}  // namespace eigenscope
