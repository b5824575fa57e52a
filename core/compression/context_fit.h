// SPDX-License-Identifier: Apache-2.0
// The largest plan with which a wanted context fits into a memory; and where none does, what would fit.
// Pure functions, from headers alone: nothing is allocated on a device. The plan's allocation is called some
// thirty times, so this is work for a job where layers and heads are many.
#pragma once

#include "core/base/job_context.h"
#include "core/model/kv_format.h"
#include "core/model/model_config.h"
#include "core/spectrum/allocation.h"

#include <cstdint>
#include <functional>
#include <optional>

namespace eigenscope {

// What shall fit: `batch` sequences of `context` tokens in `memory_bytes`.
struct ContextGoal {
    ModelConfig original;
    std::optional<std::int64_t> weight_bytes;  // empty: the memory is for the KV cache alone
    std::int64_t context = 0, memory_bytes = 0;
    int batch = 1;
    std::function<KvFormat(const RankPlan& plan)> format;  // of a run's cache
};
// Of a run of the converted model: weights, KV cache and scratch, or the cache alone. The weights are counted
// as the original's, which the converted ones do not exceed.
std::int64_t bytesNeeded(const RankPlan& plan, const ContextGoal& goal);

struct ContextFit {
    std::optional<RankPlan> plan;  // the one of the largest KV ratio that fits
    std::int64_t bytes = 0;        // that it needs; where none fits, that the smallest ranks need
    // Where none fits, what does at the smallest ranks:
    std::int64_t longest = 0;  // so many tokens of context; 0: not even one
    int bits = 0;           // codes of so many bits for keys and values, the most that will do; 0: none will
    bool unpinned = false;  // the same with no rank fixed by a pin or a layer's own threshold
};
// The KV ratio by bisection, ranks by the plan's own allocation; fixed ranks and the plan's bits stay (mixed
// bits are shared out with the ranks). Throws InvalidInput when the allocation's tables are missing,
// Cancelled.
ContextFit fitContext(JobContext& job, const RankPlan& plan, const Spectrum& spectrum,
                      const MeasuredTables& tables, const ContextGoal& goal);

}  // namespace eigenscope
