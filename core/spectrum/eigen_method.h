// SPDX-License-Identifier: Apache-2.0
// Method `eigen`: Eigen Attention, arXiv 2408.05646, section 4. Pure function; any thread.
#pragma once

#include "core/spectrum/basis_method.h"

namespace eigenscope {

// Keys: eigenvectors of C_k + C_q, or of C_k alone where keys are rotated after the projection (the rotation
// lies between queries and the cached key, so queries say nothing about the unrotated basis). Values: of C_v.
// With a head group keys and values are of several heads side by side. Uncentred, as published; with
// BasisOptions::center keys and values without their means (C - n mu mu^T; the queries stay as they are,
// their mean matters): rotated keys get theirs back when they are rebuilt, values' goes into the output bias,
// and other keys' is dropped, since softmax ignores what it adds to a query's scores. The basis is
// orthonormal: encode is the transpose of decode.
LayerBases computeEigenBases(const JobContext& job, Backend& backend, const Statistics& statistics, int layer,
                             const BasisOptions& options);

}  // namespace eigenscope
