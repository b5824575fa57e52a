// SPDX-License-Identifier: Apache-2.0
// Spectra and plans as comma-separated values, for spreadsheets and scripts. Pure functions.
#pragma once

#include "core/spectrum/rank_plan.h"
#include "core/spectrum/spectrum.h"

#include <string>
#include <utility>

namespace eigenscope {

// layer,side,head,rank,eigenvalue,energy_kept,singular_values_kept: a line a direction, rank counting from 1.
// The ranges are [first, last).
std::string spectrumCsv(const Spectrum& spectrum, std::pair<int, int> layers, std::pair<int, int> heads);
std::string spectrumCsv(const Spectrum& spectrum);

// layer,key_rank,value_rank,key_expected_error,value_expected_error,measured_error (empty when not measured).
std::string planCsv(const RankPlan& plan, const Spectrum& spectrum,
                    const std::vector<double>& layer_errors = {});

}  // namespace eigenscope
