// SPDX-License-Identifier: Apache-2.0
// Keys lifted from latents of 16-bit elements.
#include "kernels/cuda/attention_decode_kernel.cuh"
#include "kernels/cuda/attention_decode_launch.h"

namespace eigenscope::cuda {

namespace {

template <typename T>
void launchAs(const DecodeCall& call, cudaStream_t stream) {
    if (call.kernel.tiles == 4)
        launchDecodeKernel<T, 4, 5, 5, 1, false>(call, stream);
    else if (call.kernel.key_steps == 5)
        launchDecodeKernel<T, 2, 5, 5, 2, false>(call, stream);
    else if (call.kernel.key_steps == 8)
        launchDecodeColumns<T, 2, 8, 8, false>(call, stream);
    else
        launchDecodeColumns<T, 1, 16, 16, false>(call, stream);
}

}  // namespace

void launchDecodeLift(const DecodeCall& call, Compute compute, cudaStream_t stream) {
    if (compute == Compute::F16)
        launchAs<__half>(call, stream);
    else
        launchAs<__nv_bfloat16>(call, stream);
}

}  // namespace eigenscope::cuda
