// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention_plan.h"

namespace eigenscope::cuda {

AttentionPlan planAttention(const AttentionParams& p, const DeviceLimits& limits) {
    if (attentionRows(p) == 0)
        return {};
    if (const std::optional<AttentionPlan> plan = planDecode(p, limits))
        return *plan;
    if (const std::optional<AttentionPlan> plan = planPrefill(p, limits))
        return *plan;
    return planGeneral(p, limits);
}

}  // namespace eigenscope::cuda
