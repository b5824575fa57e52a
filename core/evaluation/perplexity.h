// SPDX-License-Identifier: Apache-2.0
// Perplexity as the field computes it: non-overlapping windows of L tokens from the start of the text, mean
// negative log-likelihood of the L-1 predicted tokens of each, exp of the mean.
#pragma once

#include "core/base/job_context.h"
#include "core/generation/generate.h"
#include "core/model/model.h"

#include <filesystem>
#include <string>
#include <vector>

namespace eigenscope {

enum class BosRule : std::uint8_t { First, Every, None };

struct PerplexityOptions {
    int sequence_length = 0;  // 0: the model's max positions, at most 2048
    int windows = 0;          // 0: all that fit
    BosRule bos = BosRule::First;
    std::string text_field;  // of JSON records, see core/calibration/document_reader.h
    std::int64_t chunk = 0;  // tokens per forward call, the result does not depend on it; 0: resolveRows()
    RunOptions run;
};

struct PerplexityResult {
    double perplexity = 0;
    // Of the perplexity, from the spread of the windows (delta method). Not a number for one window: unknown.
    double standard_error = 0;
    std::int64_t tokens = 0;  // predicted
    std::int64_t windows = 0;
    std::vector<double> window_nll;  // mean per predicted token
    double seconds = 0;
};

// Token windows as perplexity() uses them. Throws when the text is shorter than one window.
std::vector<std::vector<TokenId>> evaluationWindows(JobContext& job, const Tokenizer& tokenizer,
                                                    int max_positions, const std::filesystem::path& text,
                                                    const PerplexityOptions& options);
// Of windows of one length.
PerplexityResult perplexityOf(JobContext& job, const OpenModel& model,
                              const std::vector<std::vector<TokenId>>& windows,
                              const PerplexityOptions& options);
PerplexityResult perplexity(JobContext& job, const OpenModel& model, const std::filesystem::path& text,
                            const PerplexityOptions& options);

}  // namespace eigenscope
