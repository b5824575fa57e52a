// SPDX-License-Identifier: Apache-2.0
// One model's tour as a page that stands alone: what the model is, its spectra, the plan, and original and
// converted side by side. HTML with inline SVG, no scripts, no other files; light and dark. Plain values and
// pure functions.
#pragma once

#include "core/evaluation/compare.h"
#include "core/generation/generate.h"
#include "core/spectrum/rank_plan.h"
#include "core/spectrum/spectrum.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace eigenscope {

// A model at one KV ratio, for the trade-off picture.
struct TradeOffPoint {
    double kv_ratio = 1;
    double perplexity = 0;
    double kl_divergence = 0;
    std::string text;  // what it writes after the prompt
};

struct ReportData {
    std::string model_name;
    std::vector<std::pair<std::string, std::string>> facts;  // label, value
    std::string device, calibration;                         // one line each
    std::shared_ptr<const Spectrum> spectrum;
    RankPlan plan;
    std::vector<double> layer_errors;  // measured, relative
    double kv_ratio = 1;
    std::size_t kv_bytes_per_token[2] = {0, 0};  // original, converted
    std::int64_t weight_bytes[2] = {0, 0};
    std::string text_name;  // of the evaluation text
    ComparisonResult comparison;
    std::string prompt;
    GenerationResult generations[2];
    std::vector<TradeOffPoint> trade_off;  // may be empty
    std::vector<std::string> commands;     // to do the same by hand
};

std::string renderReport(const ReportData& data);

// The continuation with its first word that differs from `other` outlined, and later differing words washed.
// HTML.
std::string markDifferences(const std::string& text, const std::string& other);

}  // namespace eigenscope
