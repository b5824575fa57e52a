// SPDX-License-Identifier: Apache-2.0
// Keys lifted from quantised latents, or from rows as in attention_decode_codes.cu.
#include "kernels/cuda/attention_decode_kernel.cuh"
#include "kernels/cuda/attention_decode_launch.h"

namespace eigenscope::cuda {

namespace {

template <typename T>
void launchAs(const DecodeCall& call, cudaStream_t stream) {
    if (call.kernel.key_steps == 5)
        launchDecodeColumns<T, 2, 5, 5, true>(call, stream);
    else if (call.kernel.key_steps == 8)
        launchDecodeColumns<T, 2, 8, 8, true>(call, stream);
    else
        launchDecodeColumns<T, 1, 16, 16, true>(call, stream);
}

}  // namespace

void launchDecodeLiftCodes(const DecodeCall& call, Compute compute, cudaStream_t stream) {
    if (compute == Compute::F16)
        launchAs<__half>(call, stream);
    else
        launchAs<__nv_bfloat16>(call, stream);
}

}  // namespace eigenscope::cuda
