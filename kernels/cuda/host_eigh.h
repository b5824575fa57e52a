// SPDX-License-Identifier: Apache-2.0
// Eigen-decompositions on the host: the matrices are a head's (64 to 256 wide), too small to be worth a trip
// to the GPU.
#pragma once

#include "kernels/api/ops.h"

namespace eigenscope::cuda {

void hostEigh(const EighParams& p);

}  // namespace eigenscope::cuda
