// SPDX-License-Identifier: Apache-2.0
// The method `attention-aware`: bases that minimise, in closed form, the error of what attention passes on.
//
// Keys: minimise sum w_mn (q~_mn . dk_n)^2 (core/calibration/attention_moments.h), separated into S_q and the
// centred S_k. With the SVD S_q^(1/2) S_k^(1/2) = P Sigma Z^T the best rank-r approximation caches
// Sigma_r^(1/2) Z_r^T S_k^(-1/2) (k - mu) and rebuilds mu + S_k^(1/2) Z_r Sigma_r^(-1/2) k'; the squares of
// the dropped Sigma are the error (the same factors as KQ-SVD, arXiv 2512.05916, with other weights). Values:
// the output projection is linear in a head's output, so the SVD is that of (sum over the group of W_h^T
// W_h)^(1/2) C_o^(1/2), C_o the Gram matrix of head outputs centred on their mean. Sigma^(1/2) on both sides
// balances the latents' variances, which changes nothing in exact arithmetic. Cost: two eigen-decompositions
// of head_dim a head and side, beyond the statistics.
//
// With BasisOptions::head_group several heads share one latent (as groups of heads do in Palu, arXiv
// 2407.21118): the same factors of their keys side by side, with S_q block-diagonal, and of their values,
// with C_v in place of C_o. What heads have in common is then cached once, and ranks go to the heads that
// need them.
#pragma once

#include "core/spectrum/basis_method.h"

namespace eigenscope {

// Throws InvalidInput when the statistics lack the attention moments (made before this method existed).
LayerBases computeAttentionAwareBases(const JobContext& job, Backend& backend, const Statistics& statistics,
                                      int layer, const BasisOptions& options);

}  // namespace eigenscope
