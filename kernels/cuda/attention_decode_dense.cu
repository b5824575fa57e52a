// SPDX-License-Identifier: Apache-2.0
// Keys and values that are rows of 16-bit elements of the arithmetic's type.
#include "kernels/cuda/attention_decode_kernel.cuh"
#include "kernels/cuda/attention_decode_launch.h"

namespace eigenscope::cuda {

namespace {

template <typename T>
void launchAs(const DecodeCall& call, cudaStream_t stream) {
    if (call.kernel.value_tiles == 8)
        launchDecodeColumns<T, 1, 0, 8, false>(call, stream);
    else
        launchDecodeColumns<T, 1, 0, 16, false>(call, stream);
}

}  // namespace

void launchDecodeDense(const DecodeCall& call, Compute compute, cudaStream_t stream) {
    if (compute == Compute::F16)
        launchAs<__half>(call, stream);
    else
        launchAs<__nv_bfloat16>(call, stream);
}

}  // namespace eigenscope::cuda
