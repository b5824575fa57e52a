// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention_prefill_kernel.cuh"

namespace eigenscope::cuda {

void launchPrefillBf16(const PrefillCall& call, unsigned blocks, cudaStream_t stream) {
    launchPrefill<__nv_bfloat16>(call, blocks, stream);
}

}  // namespace eigenscope::cuda
