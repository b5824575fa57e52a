// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/compare.h"

#include "core/evaluation/window_mean.h"
#include "core/evaluation/window_runner.h"
#include "kernels/api/error.h"

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

// log sum_j exp(x_j), from the largest so that nothing overflows, and where the largest first is.
struct LogSum {
    double value = 0;
    std::size_t argmax = 0;
};

LogSum logSumExp(std::span<const float> x) {
    const auto top = std::max_element(x.begin(), x.end());
    const double largest = *top;
    double sum = 0;
    for (float v : x)
        sum += std::exp(static_cast<double>(v) - largest);
    return {largest + std::log(sum), static_cast<std::size_t>(top - x.begin())};
}

// One row of logits of both models.
struct RowResult {
    double first_nll = 0, second_nll = 0, kl = 0;
    bool agrees = false;
};

RowResult compareRow(std::span<const float> first, std::span<const float> second, TokenId target) {
    const LogSum a = logSumExp(first), b = logSumExp(second);
    RowResult row;
    for (std::size_t j = 0; j < first.size(); ++j) {
        const double log_p = static_cast<double>(first[j]) - a.value;
        const double log_q = static_cast<double>(second[j]) - b.value;
        row.kl += std::exp(log_p) * (log_p - log_q);
    }
    row.kl = std::max(row.kl, 0.0);  // rounding can leave a negative trace where both agree
    const auto t = static_cast<std::size_t>(target);
    row.first_nll = a.value - static_cast<double>(first[t]);
    row.second_nll = b.value - static_cast<double>(second[t]);
    row.agrees = a.argmax == b.argmax;
    return row;
}

// A model's logits of the next ids, on the host [ids, vocab].
void logitsOf(WindowRunner& runner, Backend& backend, std::span<const TokenId> ids,
              std::vector<float>& host) {
    const TensorView logits = runner.next(ids);
    host.resize(static_cast<std::size_t>(logits.shape.count()));
    backend.download(runner.session().stream(), host.data(), logits.data, logits.bytes());
}

void finish(PerplexityResult& result, std::int64_t tokens, double seconds) {
    const MeanAndError nll = meanOfWindows(result.window_nll);
    result.perplexity = std::exp(nll.mean);
    result.standard_error = result.perplexity * nll.error;
    result.windows = static_cast<std::int64_t>(result.window_nll.size());
    result.tokens = tokens;
    result.seconds = seconds;
}

void checkComparable(const OpenModel& first, const OpenModel& second) {
    const int a = first.model->config.vocab_size, b = second.model->config.vocab_size;
    if (a != b)
        throw Error(ErrorCode::InvalidInput, "models cannot be compared: " + first.name +
                                                 " has a vocabulary of " + std::to_string(a) + ", " +
                                                 second.name + " one of " + std::to_string(b));
}

}  // namespace

ComparisonResult compareModels(JobContext& job, const OpenModel& first, const OpenModel& second,
                               const std::filesystem::path& text, const PerplexityOptions& options) {
    return compareModels(job, first, second, text, options, options.run);
}

ComparisonResult compareModels(JobContext& job, const OpenModel& first, const OpenModel& second,
                               const std::filesystem::path& text, const PerplexityOptions& options,
                               const RunOptions& second_run) {
    checkComparable(first, second);
    const int positions = std::min(first.model->config.max_positions, second.model->config.max_positions);
    const auto windows = evaluationWindows(job, *first.tokenizer, positions, text, options);
    const std::size_t predicted = windows.front().size() - 1;
    const auto longest = static_cast<std::int64_t>(predicted);
    WindowRunner first_runner(job, first, options.run, options.chunk, longest);
    WindowRunner second_runner(job, second, second_run, options.chunk, longest);
    const auto chunk = static_cast<std::size_t>(first_runner.chunk());
    const auto vocabulary = static_cast<std::size_t>(first_runner.vocabulary());

    ComparisonResult result;
    std::vector<float> first_logits, second_logits;
    std::vector<double> window_kl;
    std::int64_t agreeing = 0, done = 0;
    const auto total = static_cast<std::int64_t>(windows.size());
    for (const auto& window : windows) {
        job.progress("comparing", done++, total);
        first_runner.restart();
        second_runner.restart();
        const std::span<const TokenId> ids(window);
        RowResult sum;
        for (std::size_t at = 0; at < predicted; at += chunk) {
            const std::size_t count = std::min(chunk, predicted - at);
            job.checkCancelled();
            logitsOf(first_runner, *first.backend, ids.subspan(at, count), first_logits);
            logitsOf(second_runner, *second.backend, ids.subspan(at, count), second_logits);
            for (std::size_t i = 0; i < count; ++i) {
                if (i % 16 == 0)
                    job.checkCancelled();
                const RowResult row =
                    compareRow(std::span(first_logits).subspan(i * vocabulary, vocabulary),
                               std::span(second_logits).subspan(i * vocabulary, vocabulary), ids[at + i + 1]);
                sum.first_nll += row.first_nll;
                sum.second_nll += row.second_nll;
                sum.kl += row.kl;
                agreeing += row.agrees ? 1 : 0;
                result.token_kl.push_back(row.kl);
            }
        }
        const auto n = static_cast<double>(predicted);
        result.first.window_nll.push_back(sum.first_nll / n);
        result.second.window_nll.push_back(sum.second_nll / n);
        window_kl.push_back(sum.kl / n);
    }
    job.progress("comparing", total, total);
    const std::int64_t tokens = total * longest;
    finish(result.first, tokens, first_runner.seconds());
    finish(result.second, tokens, second_runner.seconds());
    const MeanAndError kl = meanOfWindows(window_kl);
    result.kl_divergence = kl.mean;
    result.kl_standard_error = kl.error;
    result.top1_agreement = static_cast<double>(agreeing) / static_cast<double>(tokens);
    return result;
}

}  // namespace eigenscope
