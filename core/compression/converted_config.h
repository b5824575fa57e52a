// SPDX-License-Identifier: Apache-2.0
// What a plan makes of a model, as far as its KV cache is concerned, before anything is converted. Pure
// functions.
#pragma once

#include "core/model/kv_format.h"
#include "core/model/model_config.h"
#include "core/spectrum/rank_plan.h"

namespace eigenscope {

// The configuration that converting the original with this plan gives.
ModelConfig convertedConfig(const ModelConfig& original, const RankPlan& plan);
// The cache that a run of it uses by default, on top of a cache of `exact`.
KvFormat convertedFormat(const RankPlan& plan, DType exact);

}  // namespace eigenscope
