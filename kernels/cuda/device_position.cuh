// SPDX-License-Identifier: Apache-2.0
// Where an op is in the sequence: from its struct, or from device memory, so that a captured graph serves
// every step. Plans, grids and scratch are made for the position in the struct, which is then the largest
// possible; kernels ask here, and blocks that have nothing to do at the position of today leave at once.
#pragma once

#include "kernels/api/ops.h"

#include <cuda_runtime.h>

namespace eigenscope::cuda {

__device__ inline std::int64_t queryPosition(const AttentionParams& p) {
    return p.device_position ? *p.device_position : p.query_position;
}
__device__ inline std::int64_t appendPosition(const KvAppendParams& p) {
    return p.device_position ? *p.device_position : p.position;
}
__device__ inline std::int64_t ropePosition(const RopeParams& p) {
    return p.device_position ? *p.device_position : p.first_position;
}

}  // namespace eigenscope::cuda
