// SPDX-License-Identifier: Apache-2.0
// Eigen-decompositions on the host, several matrices at a time.
//
// Why not on the GPU: the matrices are a head's, 64 to 256 wide, some dozens a layer. Tridiagonal QR takes
// about 9 n^3 operations, some 10 ms for n = 128 on one core, so llama-2-7b's 3072 matrices take half a
// minute of one core and two or three seconds of sixteen, once, after minutes of calibration. cuSOLVER's
// batched solver works by Jacobi sweeps beyond n = 32 (ten sweeps of some 12 n^3 operations), in float64,
// which most GPUs do at 1/64 of their rate; at best it would save those seconds on a data-centre card, for
// another 100 MB library to ship.
#pragma once

#include "kernels/api/ops.h"

namespace eigenscope::cuda {

void hostEigh(const EighParams& p);

}  // namespace eigenscope::cuda
