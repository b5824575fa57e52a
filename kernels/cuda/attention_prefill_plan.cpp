// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention_plan.h"

namespace eigenscope::cuda {

std::optional<AttentionPlan> planPrefill(const AttentionParams&, const DeviceLimits&) { return std::nullopt; }

}  // namespace eigenscope::cuda
