// SPDX-License-Identifier: Apache-2.0
// Turning latents so that a quantised cache costs less. A basis orders latents by what they carry, so the
// first few of a head are much larger than the rest, and a group's step follows them. Any orthogonal matrix
// may be folded into encoder and decoder for nothing; the discrete cosine transform spreads every latent over
// all of them. Pure functions.
#pragma once

#include "core/spectrum/basis_method.h"

namespace eigenscope {

// Rows [0, rank) of encode become C times them, columns [0, rank) of decode times C^T, with C the orthonormal
// DCT-II of size rank: rank-r reconstructions stay what they were, up to rounding. Smaller ranks of the
// result mean nothing.
void spreadLatents(HeadBasis& basis, int rank);

}  // namespace eigenscope
