// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention_plan.h"

namespace eigenscope::cuda {

AttentionPlan planGeneral(const AttentionParams&, const DeviceLimits&) {
    return {};
}

}  // namespace eigenscope::cuda
