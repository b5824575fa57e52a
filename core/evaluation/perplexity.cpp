// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/perplexity.h"

#include "core/base/fail.h"
#include "core/calibration/corpus.h"
#include "core/evaluation/window_mean.h"
#include "core/evaluation/window_runner.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace eigenscope {

namespace {

// Longer windows are rarely reported, and memory and time grow with them.
constexpr int kDefaultLength = 2048;

int windowLength(int max_positions, const PerplexityOptions& options) {
    if (options.sequence_length == 0)
        return std::min(max_positions, kDefaultLength);
    if (options.sequence_length < 2 || options.sequence_length > max_positions)
        throw Error(ErrorCode::InvalidInput, "sequence length " + std::to_string(options.sequence_length) +
                                                 ": expected 2 to the model's " +
                                                 std::to_string(max_positions) + " positions");
    return options.sequence_length;
}

}  // namespace

std::vector<std::vector<TokenId>> evaluationWindows(JobContext& job, const Tokenizer& tokenizer,
                                                    int max_positions, const std::filesystem::path& text,
                                                    const PerplexityOptions& options) {
    if (options.windows < 0)
        throw Error(ErrorCode::InvalidInput,
                    "windows " + std::to_string(options.windows) + ": expected 0 (all) or more");
    const int length = windowLength(max_positions, options);
    if (options.bos == BosRule::Every && !tokenizer.bos())
        throw Error(ErrorCode::InvalidInput, "bos every: the tokenizer has no bos token");
    const Corpus corpus = readCorpus(job, tokenizer, text, options.bos != BosRule::None, options.text_field);
    std::size_t count = corpus.ids.size() / static_cast<std::size_t>(length);
    if (count == 0)
        failInput(text, "the text has " + std::to_string(corpus.ids.size()) +
                            " tokens, fewer than one window of " + std::to_string(length));
    if (options.windows > 0)
        count = std::min(count, static_cast<std::size_t>(options.windows));
    std::vector<std::vector<TokenId>> windows;
    for (std::size_t i = 0; i < count; ++i) {
        const auto begin = corpus.ids.begin() + static_cast<std::ptrdiff_t>(i) * length;
        windows.emplace_back(begin, begin + length);
        if (options.bos == BosRule::Every)
            windows.back().front() = *tokenizer.bos();
    }
    return windows;
}

PerplexityResult perplexityOf(JobContext& job, const OpenModel& model,
                              const std::vector<std::vector<TokenId>>& windows,
                              const PerplexityOptions& options) {
    const auto start = std::chrono::steady_clock::now();
    // The last token of a window is predicted but predicts nothing.
    const std::size_t predicted = windows.front().size() - 1;
    WindowRunner runner(job, model, options.run, options.chunk, static_cast<std::int64_t>(predicted));
    PerplexityResult result;
    const auto total = static_cast<std::int64_t>(windows.size());
    for (const auto& window : windows) {
        job.progress("measuring perplexity", result.windows, total);
        runner.restart();
        const std::span<const TokenId> ids(window);
        double nll = 0;
        for (std::size_t at = 0; at < predicted; at += static_cast<std::size_t>(runner.chunk())) {
            job.checkCancelled();
            const std::size_t count = std::min(static_cast<std::size_t>(runner.chunk()), predicted - at);
            nll += runner.nll(ids.subspan(at, count), ids.subspan(at + 1, count));
        }
        result.window_nll.push_back(nll / static_cast<double>(predicted));
        ++result.windows;
    }
    job.progress("measuring perplexity", total, total);
    result.tokens = total * static_cast<std::int64_t>(predicted);
    const MeanAndError nll = meanOfWindows(result.window_nll);
    result.perplexity = std::exp(nll.mean);
    result.standard_error = result.perplexity * nll.error;  // d exp(x) = exp(x) dx
    result.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return result;
}

PerplexityResult perplexity(JobContext& job, const OpenModel& model, const std::filesystem::path& text,
                            const PerplexityOptions& options) {
    return perplexityOf(
        job, model,
        evaluationWindows(job, *model.tokenizer, model.model->config.max_positions, text, options), options);
}

}  // namespace eigenscope
