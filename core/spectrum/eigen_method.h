// SPDX-License-Identifier: Apache-2.0
// Method `eigen`: Eigen Attention, arXiv 2408.05646, section 4. Pure function; any thread.
#pragma once

#include "core/spectrum/basis_method.h"

namespace eigenscope {

// Keys: eigenvectors of C_k + C_q, or of C_k alone where keys are rotated after the projection (the rotation
// lies between queries and the cached key, so queries say nothing about the unrotated basis). Values: of C_v.
// Uncentred, as published. The basis is orthonormal: encode is the transpose of decode.
LayerBases computeEigenBases(Backend& backend, const Statistics& statistics, int layer,
                             const BasisOptions& options);

}  // namespace eigenscope
