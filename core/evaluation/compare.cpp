// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/compare.h"

#include "core/base/parallel.h"
#include "core/evaluation/logit_rows.h"
#include "core/evaluation/window_runner.h"
#include "core/model/layer_sweep.h"
#include "kernels/api/error.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace eigenscope {

namespace {

// A model's logits of the next ids, on the host [ids, vocab].
void logitsOf(WindowRunner& runner, Backend& backend, std::span<const TokenId> ids,
              std::vector<float>& host) {
    const TensorView logits = runner.next(ids);
    host.resize(static_cast<std::size_t>(logits.shape.count()));
    backend.download(runner.session().stream(), host.data(), logits.data, logits.bytes());
}

PerplexityResult perplexityOf(const std::vector<double>& window_nll, std::int64_t tokens) {
    PerplexityResult result;
    const MeanAndError nll = meanOfWindows(window_nll);
    result.perplexity = std::exp(nll.mean);
    result.standard_error = result.perplexity * nll.error;
    result.windows = static_cast<std::int64_t>(window_nll.size());
    result.tokens = tokens;
    result.window_nll = window_nll;
    return result;
}

// Streamed models: all windows through one layer after the other, then both models' logits window by window.
ComparisonResult compareByLayers(JobContext& job, const OpenModel& first, const OpenModel& second,
                                 const std::vector<std::vector<TokenId>>& windows,
                                 const PerplexityOptions& options, const RunOptions& second_run) {
    const auto predicted = static_cast<std::int64_t>(windows.front().size()) - 1;
    std::vector<std::span<const TokenId>> inputs;
    for (const auto& window : windows)
        inputs.push_back(std::span(window).first(window.size() - 1));
    const std::int64_t chunk = pairRows(first, second, options, second_run);
    const auto sweepOf = [&](const OpenModel& model, const RunOptions& run) {
        return LayerSweep(model.backend, model.model,
                          {.threads = run.threads,
                           .compute = resolveCompute(run, model),
                           .max_rows = std::min(chunk, predicted),
                           .stop = job.stopToken()},
                          resolveKvFormat(run, model), inputs, run.states);
    };
    LayerSweep first_sweep = sweepOf(first, options.run), second_sweep = sweepOf(second, second_run);
    constexpr std::string_view kStage = "comparing";
    const auto count = static_cast<std::int64_t>(windows.size());
    const std::int64_t total = count * (first.model->config.layers + second.model->config.layers + 1);
    std::int64_t done = 0;
    double seconds[2] = {0, 0};
    for (LayerSweep* sweep : {&first_sweep, &second_sweep}) {
        const auto start = std::chrono::steady_clock::now();
        job.progress(kStage, done, total);
        sweep->embed();
        for (int layer = 0; layer < sweep->transformer().model().config.layers; ++layer) {
            for (std::size_t window = 0; window < windows.size(); ++window) {
                job.progress(kStage, done++, total);
                job.checkCancelled();
                sweep->pass(window, layer);
            }
        }
        seconds[sweep == &second_sweep] =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    ComparisonMeter meter(options.run.threads);
    std::vector<float> logits[2];
    for (std::size_t window = 0; window < windows.size(); ++window) {
        job.progress(kStage, done++, total);
        for (std::int64_t at = 0; at < predicted; at += first_sweep.chunk()) {
            job.checkCancelled();
            for (LayerSweep* sweep : {&first_sweep, &second_sweep}) {
                const TensorView view = sweep->logits(window, at);
                std::vector<float>& host = logits[sweep == &second_sweep];
                host.resize(static_cast<std::size_t>(view.shape.count()));
                sweep->session().backend().download(sweep->session().stream(), host.data(), view.data,
                                                    view.bytes());
            }
            const auto rows = static_cast<std::size_t>(std::min(first_sweep.chunk(), predicted - at));
            meter.add(job, logits[0], logits[1],
                      std::span(windows[window]).subspan(static_cast<std::size_t>(at) + 1, rows));
        }
        meter.endWindow();
    }
    job.progress(kStage, total, total);
    ComparisonResult result = meter.result();
    result.first.seconds = seconds[0];
    result.second.seconds = seconds[1];
    return result;
}

}  // namespace

void checkSameVocabulary(const OpenModel& first, const OpenModel& second) {
    const int a = first.model->config.vocab_size, b = second.model->config.vocab_size;
    if (a != b)
        throw Error(ErrorCode::InvalidInput, "models cannot be compared: " + first.name +
                                                 " has a vocabulary of " + std::to_string(a) + ", " +
                                                 second.name + " one of " + std::to_string(b));
}

void ComparisonMeter::add(const JobContext& job, std::span<const float> first, std::span<const float> second,
                          std::span<const TokenId> targets) {
    const std::size_t vocabulary = first.size() / targets.size();
    std::vector<LogitRows> rows(targets.size());
    parallelFor(static_cast<std::int64_t>(targets.size()), m_threads, [&](std::int64_t row) {
        job.checkCancelled();
        const auto at = static_cast<std::size_t>(row) * vocabulary;
        rows[static_cast<std::size_t>(row)] =
            compareLogits(first.subspan(at, vocabulary), second.subspan(at, vocabulary));
    });
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const LogitRows& row = rows[i];
        m_first_nll += nllOf(first.subspan(i * vocabulary, vocabulary), row.first_log_sum, targets[i]);
        m_second_nll += nllOf(second.subspan(i * vocabulary, vocabulary), row.second_log_sum, targets[i]);
        m_kl += row.kl;
        m_agreeing += row.first_top == row.second_top ? 1 : 0;
        m_token_kl.push_back(row.kl);
    }
    m_rows += static_cast<std::int64_t>(rows.size());
}

void ComparisonMeter::endWindow() {
    const auto n = static_cast<double>(m_rows);
    m_first.push_back(m_first_nll / n);
    m_second.push_back(m_second_nll / n);
    m_window_kl.push_back(m_kl / n);
    m_agreement.push_back(static_cast<double>(m_agreeing) / n);
    m_tokens += m_rows;
    m_first_nll = m_second_nll = m_kl = 0;
    m_agreeing = m_rows = 0;
}

ComparisonResult ComparisonMeter::result() const {
    ComparisonResult result;
    result.first = perplexityOf(m_first, m_tokens);
    result.second = perplexityOf(m_second, m_tokens);
    const MeanAndError kl = meanOfWindows(m_window_kl), agreement = meanOfWindows(m_agreement);
    std::vector<double> differences;
    for (std::size_t i = 0; i < m_first.size(); ++i)
        differences.push_back(m_second[i] - m_first[i]);
    const MeanAndError difference = meanOfWindows(differences);
    result.kl_divergence = kl.mean;
    result.kl_standard_error = kl.error;
    result.top1_agreement = agreement.mean;
    result.top1_standard_error = agreement.error;
    result.nll_difference = difference.mean;
    result.nll_difference_standard_error = difference.error;
    result.token_kl = m_token_kl;
    return result;
}

std::vector<std::vector<TokenId>> commonWindows(JobContext& job, const OpenModel& first,
                                                const OpenModel& second, const std::filesystem::path& text,
                                                const PerplexityOptions& options) {
    checkSameVocabulary(first, second);
    const int positions = std::min(first.model->config.max_positions, second.model->config.max_positions);
    return evaluationWindows(job, *first.tokenizer, positions, text, options);
}

ComparisonResult compareModels(JobContext& job, const OpenModel& first, const OpenModel& second,
                               const std::filesystem::path& text, const PerplexityOptions& options,
                               const RunOptions& second_run) {
    return compareWindows(job, first, second, commonWindows(job, first, second, text, options), options,
                          second_run);
}

ComparisonResult compareWindows(JobContext& job, const OpenModel& first, const OpenModel& second,
                                const std::vector<std::vector<TokenId>>& windows,
                                const PerplexityOptions& options, const RunOptions& second_run) {
    checkSameVocabulary(first, second);
    if (first.model->streamed() || second.model->streamed())
        return compareByLayers(job, first, second, windows, options, second_run);
    const std::size_t predicted = windows.front().size() - 1;
    const auto longest = static_cast<std::int64_t>(predicted);
    const std::int64_t rows = pairRows(first, second, options, second_run);
    WindowRunner first_runner(job, first, options.run, rows, longest);
    WindowRunner second_runner(job, second, second_run, rows, longest);
    const auto chunk = static_cast<std::size_t>(first_runner.chunk());

    ComparisonMeter meter(options.run.threads);
    std::vector<float> first_logits, second_logits;
    std::int64_t done = 0;
    const auto total = static_cast<std::int64_t>(windows.size());
    for (const auto& window : windows) {
        job.progress("comparing", done++, total);
        first_runner.restart();
        second_runner.restart();
        const std::span<const TokenId> ids(window);
        for (std::size_t at = 0; at < predicted; at += chunk) {
            const std::size_t count = std::min(chunk, predicted - at);
            job.checkCancelled();
            logitsOf(first_runner, *first.backend, ids.subspan(at, count), first_logits);
            logitsOf(second_runner, *second.backend, ids.subspan(at, count), second_logits);
            meter.add(job, first_logits, second_logits, ids.subspan(at + 1, count));
        }
        meter.endWindow();
    }
    job.progress("comparing", total, total);
    ComparisonResult result = meter.result();
    result.first.seconds = first_runner.seconds();
    result.second.seconds = second_runner.seconds();
    return result;
}

}  // namespace eigenscope
