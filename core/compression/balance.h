// SPDX-License-Identifier: Apache-2.0
// Scaling latents so that a quantised cache costs least. Codes of a group share one step, so every latent of
// it gets an error of about the same size; what that error does is the decoder's and its reader's affair. Any
// diagonal may be folded into encoder and decoder for nothing. Pure functions.
#pragma once

#include "core/calibration/statistics.h"
#include "core/spectrum/basis_method.h"

#include <span>

namespace eigenscope {

// Rows i of encode times s_i, columns i of decode over s_i, with s_i^2 = q_i / sigma_i: sigma_i the root mean
// square of latent i over vectors with second moments `moment`, q_i that of the decoded direction as its
// reader sees it, q_i^2 = decode_i^T `weight` decode_i (both [width, width], symmetric). For a step that
// grows with the latents' norm this minimises (sum s_i^2 sigma_i^2) (sum q_i^2 / s_i^2), by Cauchy and
// Schwarz. One factor common to all s keeps the sum of the latents' second moments that of the vectors.
void balance(HeadBasis& basis, std::span<const double> moment, std::span<const double> weight);

// The bases of a layer's side, balanced by its statistics: keys against the queries that read them, values
// against the output projection where the statistics hold it.
void balanceKeys(std::span<HeadBasis> bases, const LayerStatistics& statistics);
void balanceValues(std::span<HeadBasis> bases, const LayerStatistics& statistics);

}  // namespace eigenscope
