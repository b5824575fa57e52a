// SPDX-License-Identifier: Apache-2.0
// Quantised caches, and rows of another dtype or of a width that is no multiple of 8.
#include "kernels/cuda/attention_decode_kernel.cuh"
#include "kernels/cuda/attention_decode_launch.h"

namespace eigenscope::cuda {

namespace {

template <typename T>
void launchAs(const DecodeCall& call, cudaStream_t stream) {
    if (call.kernel.value_tiles == 8)
        launchDecodeColumns<T, 2, 0, 8, true>(call, stream);
    else
        launchDecodeColumns<T, 2, 0, 16, true>(call, stream);
}

}  // namespace

void launchDecodeCodes(const DecodeCall& call, Compute compute, cudaStream_t stream) {
    if (compute == Compute::F16)
        launchAs<__half>(call, stream);
    else
        launchAs<__nv_bfloat16>(call, stream);
}

}  // namespace eigenscope::cuda
