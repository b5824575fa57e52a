// SPDX-License-Identifier: Apache-2.0
// Two models on the same windows: perplexity of both, divergence of their next-token distributions.
#pragma once

#include "core/evaluation/perplexity.h"

#include <vector>

namespace eigenscope {

struct ComparisonResult {
    PerplexityResult first, second;
    double kl_divergence = 0;      // mean over predicted tokens of KL(first || second), nats
    double kl_standard_error = 0;  // from the spread of the windows
    double top1_agreement = 0;     // share of positions with the same most likely token
    std::vector<double> token_kl;  // [tokens], in reading order
};
// Both models must have the same vocabulary size. options.run is the first model's; the second's is
// `second_run`, or the same.
ComparisonResult compareModels(JobContext& job, const OpenModel& first, const OpenModel& second,
                               const std::filesystem::path& text, const PerplexityOptions& options,
                               const RunOptions& second_run);
ComparisonResult compareModels(JobContext& job, const OpenModel& first, const OpenModel& second,
                               const std::filesystem::path& text, const PerplexityOptions& options);

// Relative Frobenius error ||O - O'|| / ||O|| of each decoder layer's output when both models' layer gets the
// original's input (the paper's Algorithm 1), over the given windows.
std::vector<double> layerErrors(JobContext& job, const OpenModel& original, const OpenModel& converted,
                                const std::vector<std::vector<TokenId>>& windows, const RunOptions& run);

}  // namespace eigenscope
