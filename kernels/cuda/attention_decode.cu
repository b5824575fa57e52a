// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_decode_launch.h"

namespace eigenscope::cuda {

void launchDecodeAttention(const AttentionParams& p, const AttentionPlan& plan,
                           const AttentionPartials& partials, cudaStream_t stream) {
    const DecodeCall call = decodeCall(p, plan, partials);
    const bool lifted = call.kernel.key_steps > 0;
    const auto launchKind = lifted ? (call.kernel.convert ? launchDecodeLiftCodes : launchDecodeLift)
                                   : (call.kernel.convert ? launchDecodeCodes : launchDecodeDense);
    launchKind(call, p.compute, stream);
}

}  // namespace eigenscope::cuda
