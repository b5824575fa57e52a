// SPDX-License-Identifier: Apache-2.0
// Two models on the same windows: perplexity of both, divergence of their next-token distributions.
#pragma once

#include "core/evaluation/perplexity.h"
#include "core/evaluation/window_mean.h"

#include <algorithm>
#include <span>
#include <vector>

namespace eigenscope {

// Standard errors are those of the mean over windows, each of which both models have seen; not a number for a
// single window.
struct ComparisonResult {
    PerplexityResult first, second;
    double kl_divergence = 0;  // mean over predicted tokens of KL(first || second), nats
    double kl_standard_error = 0;
    double top1_agreement = 0;  // share of positions with the same most likely token
    double top1_standard_error = 0;
    // Second minus first, mean negative log-likelihood a token: nats lost. Its error is from the windows'
    // differences, far smaller than those of the two perplexities, which share the text's difficulty.
    double nll_difference = 0;
    double nll_difference_standard_error = 0;
    std::vector<double> token_kl;  // [tokens], in reading order
};

// Both models must have the same vocabulary size. options.run is the first model's; the second runs with
// `second_run`.
ComparisonResult compareModels(JobContext& job, const OpenModel& first, const OpenModel& second,
                               const std::filesystem::path& text, const PerplexityOptions& options,
                               const RunOptions& second_run);
// The same on windows of one length, from evaluationWindows().
ComparisonResult compareWindows(JobContext& job, const OpenModel& first, const OpenModel& second,
                                const std::vector<std::vector<TokenId>>& windows,
                                const PerplexityOptions& options, const RunOptions& second_run);
// Rows of a call, whose logits of both models are compared at a time.
inline std::int64_t pairRows(const OpenModel& first, const OpenModel& second,
                             const PerplexityOptions& options, const RunOptions& second_run) {
    return std::min(resolveLogitRows(options.run, first, options.chunk),
                    resolveLogitRows(second_run, second, options.chunk));
}
// The windows of a text that both models have positions for.
std::vector<std::vector<TokenId>> commonWindows(JobContext& job, const OpenModel& first,
                                                const OpenModel& second, const std::filesystem::path& text,
                                                const PerplexityOptions& options);
inline ComparisonResult compareModels(JobContext& job, const OpenModel& first, const OpenModel& second,
                                      const std::filesystem::path& text, const PerplexityOptions& options) {
    return compareModels(job, first, second, text, options, options.run);
}

// Relative Frobenius error ||O - O'|| / ||O|| of each decoder layer's output when both models' layer gets the
// original's input (the paper's Algorithm 1), over the given windows.
std::vector<double> layerErrors(JobContext& job, const OpenModel& original, const OpenModel& converted,
                                const std::vector<std::vector<TokenId>>& windows, const RunOptions& run);

// What compareModels() is made of, for runs that look at more than logits. One thread.
class ComparisonMeter {
public:
    explicit ComparisonMeter(int threads) : m_threads(threads) {}
    // Logits [targets, vocab] of both models at consecutive positions, and the tokens that follow them.
    void add(const JobContext& job, std::span<const float> first, std::span<const float> second,
             std::span<const TokenId> targets);
    void endWindow();
    ComparisonResult result() const;  // of the windows so far; without seconds

private:
    int m_threads;
    double m_first_nll = 0, m_second_nll = 0, m_kl = 0;  // of the window that is under way
    std::int64_t m_agreeing = 0, m_rows = 0, m_tokens = 0;
    std::vector<double> m_first, m_second, m_window_kl, m_agreement, m_token_kl;
};

// Throws InvalidInput unless both models have the same vocabulary size.
void checkSameVocabulary(const OpenModel& first, const OpenModel& second);

}  // namespace eigenscope
