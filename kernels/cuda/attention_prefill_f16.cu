// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention_prefill_kernel.cuh"

namespace eigenscope::cuda {

void launchPrefillF16(const PrefillCall& call, unsigned blocks, cudaStream_t stream) {
    launchPrefill<__half>(call, blocks, stream);
}

}  // namespace eigenscope::cuda
