// SPDX-License-Identifier: Apache-2.0
// Products of a single row, a step of decode, with what surrounds them in a layer: the norm before, the
// activation behind. Host functions that queue one kernel; device pointers.
#pragma once

#include "kernels/api/composed_ops.h"
#include "kernels/cuda/attention_plan.h"

#include <cuda_runtime_api.h>

namespace eigenscope::cuda {

// Whether a block's shared memory holds the row; one row alone is taken.
bool canMultiplyRow(const GemmParams& p, const DeviceLimits& limits);

// y = x W^T of one row for each of the products, x normalised first where there is a norm. With an activation
// its y is all that is written: of the one product, or of the first times the second. Trusts the struct
// (kernels/api/checks.h) and canMultiplyRow().
void launchRowProducts(const ProjectParams& p, const ActivateParams* activate, const DeviceLimits& limits,
                       cudaStream_t stream);

}  // namespace eigenscope::cuda
