// SPDX-License-Identifier: Apache-2.0
#include "core/compression/converted_config.h"

#include <utility>

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
    config.low_rank = std::move(description);
    return config;
}

KvFormat convertedFormat(const RankPlan& plan, DType exact) {
    KvFormat format(exact);
    format.planned = plan.kv_bits.quantises();
    return format;
}

}  // namespace eigenscope
