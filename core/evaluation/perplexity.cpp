// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/perplexity.h"

#include "core/base/fail.h"
#include "core/calibration/corpus.h"
#include "core/evaluation/window_mean.h"
#include "core/evaluation/window_runner.h"
#include "core/model/layer_sweep.h"

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

// The negative log-likelihood of each prediction of a window, on the device.
class NllMeter {
public:
    NllMeter(Backend& backend, std::int64_t rows)
        : m_backend(backend),
          m_targets(backend.allocate(static_cast<std::size_t>(rows) * sizeof(TokenId))),
          m_nll(backend.allocate(static_cast<std::size_t>(rows) * sizeof(double))),
          m_host(static_cast<std::size_t>(rows)) {}

    double sum(Stream& stream, const TensorView& logits, std::span<const TokenId> targets) {
        m_backend.upload(stream, m_targets->data(), targets.data(), targets.size_bytes());
        NllParams params;
        params.logits = logits.f32();
        params.targets = static_cast<const TokenId*>(m_targets->data());
        params.nll = static_cast<double*>(m_nll->data());
        params.rows = static_cast<std::int64_t>(targets.size());
        params.vocab = logits.shape[1];
        m_backend.nll(stream, params);
        m_backend.download(stream, m_host.data(), m_nll->data(), targets.size() * sizeof(double));
        double total = 0;
        for (std::size_t i = 0; i < targets.size(); ++i)
            total += m_host[i];
        return total;
    }

private:
    Backend& m_backend;
    std::shared_ptr<Buffer> m_targets, m_nll;
    std::vector<double> m_host;
};

// All windows through one layer after the other, so that a streamed model is read once.
std::vector<double> nllByLayers(JobContext& job, const OpenModel& model,
                                const std::vector<std::vector<TokenId>>& windows,
                                const PerplexityOptions& options) {
    const std::size_t predicted = windows.front().size() - 1;
    std::vector<std::span<const TokenId>> inputs;
    for (const auto& window : windows)
        inputs.push_back(std::span(window).first(predicted));
    LayerSweep sweep(model.backend, model.model,
                     {.threads = options.run.threads,
                      .compute = resolveCompute(options.run, model),
                      .max_rows = std::min(resolveRows(options.run, model, options.chunk),
                                           static_cast<std::int64_t>(predicted)),
                      .stop = job.stopToken()},
                     resolveKvFormat(options.run, model), inputs, options.run.states);
    const int layers = model.model->config.layers;
    const auto count = static_cast<std::int64_t>(windows.size());
    const std::int64_t total = (std::int64_t{layers} + 1) * count;
    constexpr std::string_view kStage = "measuring perplexity";
    job.progress(kStage, 0, total);
    sweep.embed();
    for (int layer = 0; layer < layers; ++layer) {
        for (std::size_t window = 0; window < windows.size(); ++window) {
            job.progress(kStage, layer * count + static_cast<std::int64_t>(window), total);
            job.checkCancelled();
            sweep.pass(window, layer);
        }
    }
    NllMeter meter(*model.backend, sweep.chunk());
    std::vector<double> result;
    for (std::size_t window = 0; window < windows.size(); ++window) {
        job.progress(kStage, layers * count + static_cast<std::int64_t>(window), total);
        double nll = 0;
        for (std::size_t at = 0; at < predicted; at += static_cast<std::size_t>(sweep.chunk())) {
            job.checkCancelled();
            const std::size_t rows = std::min(static_cast<std::size_t>(sweep.chunk()), predicted - at);
            const TensorView logits = sweep.logits(window, static_cast<std::int64_t>(at));
            nll +=
                meter.sum(sweep.session().stream(), logits, std::span(windows[window]).subspan(at + 1, rows));
        }
        result.push_back(nll / static_cast<double>(predicted));
    }
    return result;
}

// Window after window.
std::vector<double> nllByWindows(JobContext& job, const OpenModel& model,
                                 const std::vector<std::vector<TokenId>>& windows,
                                 const PerplexityOptions& options) {
    const std::size_t predicted = windows.front().size() - 1;
    WindowRunner runner(job, model, options.run, resolveRows(options.run, model, options.chunk),
                        static_cast<std::int64_t>(predicted));
    std::vector<double> result;
    for (const auto& window : windows) {
        job.progress("measuring perplexity", static_cast<std::int64_t>(result.size()),
                     static_cast<std::int64_t>(windows.size()));
        runner.restart();
        const std::span<const TokenId> ids(window);
        double nll = 0;
        for (std::size_t at = 0; at < predicted; at += static_cast<std::size_t>(runner.chunk())) {
            job.checkCancelled();
            const std::size_t count = std::min(static_cast<std::size_t>(runner.chunk()), predicted - at);
            nll += runner.nll(ids.subspan(at, count), ids.subspan(at + 1, count));
        }
        result.push_back(nll / static_cast<double>(predicted));
    }
    return result;
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
    const auto total = static_cast<std::int64_t>(windows.size());
    PerplexityResult result;
    result.window_nll = model.model->streamed() ? nllByLayers(job, model, windows, options)
                                                : nllByWindows(job, model, windows, options);
    result.windows = total;
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
