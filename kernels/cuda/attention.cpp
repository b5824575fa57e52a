// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention.h"

namespace eigenscope::cuda {

void launchAttention(const AttentionParams& p, const AttentionPlan& plan, void* scratch,
                     cudaStream_t stream) {
    if (attentionRows(p) == 0)
        return;
    const AttentionPartials partials =
        plan.splits > 1 ? partialsIn(scratch, p, plan.splits) : AttentionPartials{};
    switch (plan.path) {
        case AttentionPath::General:
            launchGeneralAttention(p, plan, partials, stream);
            break;
        case AttentionPath::Decode:
            launchDecodeAttention(p, plan, partials, stream);
            break;
        case AttentionPath::Prefill:
            launchPrefillAttention(p, plan, partials, stream);
            break;
    }
    if (plan.splits > 1)
        launchMergeAttention(p, plan.splits, partials, stream);
}

}  // namespace eigenscope::cuda
