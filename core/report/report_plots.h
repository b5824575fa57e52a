// SPDX-License-Identifier: Apache-2.0
// The charts of a report, as SVG text. Pure functions.
#pragma once

#include "core/report/report.h"

#include <string>

namespace eigenscope {

// Eigenvalues relative to the largest (log axis; mean and spread over the heads), cumulative energy (right
// axis), and the plan's rank.
std::string layerSpectrumPlot(const Spectrum& spectrum, int layer, Side side, int rank);
std::string rankBarsPlot(const RankPlan& plan, int head_dim);
std::string layerErrorPlot(const std::vector<double>& errors);
std::string tokenKlPlot(const std::vector<double>& token_kl);
std::string tradeOffPlot(const std::vector<TradeOffPoint>& points, double chosen_ratio);

}  // namespace eigenscope
