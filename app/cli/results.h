// SPDX-License-Identifier: GPL-3.0-or-later
// Results of the engine as the JSON and the lines that more than one subcommand prints. Pure functions.
#pragma once

#include "app/cli/console.h"
#include "core/evaluation/compare.h"
#include "core/evaluation/perplexity.h"
#include "core/generation/generate.h"
#include "core/spectrum/rank_plan.h"

#include <CLI/CLI.hpp>

#include <string>

namespace eigenscope {

ResultJson toJson(const GenerationResult& result);
ResultJson toJson(const PerplexityResult& result);
ResultJson toJson(const ComparisonResult& result);
std::string withError(const MeanAndError& value);  // "0.0123 ± 0.0004"; the value alone when it is unknown
// Both perplexities, what was lost, how far the distributions are apart, and where it ran.
std::string qualityLines(const std::string& first, const std::string& second, const ComparisonResult& result,
                         const std::string& device);
std::string timingText(const GenerationResult& result);  // "TTFT 11.2 ms, TPOT 3.1 ms, ..."
// A line a layer; `basis_width`: the full rank. Bits too where the plan has them.
std::string rankTable(const RankPlan& plan, int basis_width, const std::vector<double>& layer_errors = {});

// --sequence-length, --windows, --bos, --text-field.
struct PerplexityArguments {
    int sequence_length = 0, windows = 0;
    std::string bos = "first", text_field;
    PerplexityOptions options(const RunOptions& run) const;
};
void addPerplexityOptions(CLI::App& app, PerplexityArguments& arguments);

// --max-tokens and the sampling options.
struct GenerationArguments {
    GenerationOptions options;
};
void addGenerationOptions(CLI::App& app, GenerationArguments& arguments);

}  // namespace eigenscope
