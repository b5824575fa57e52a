// SPDX-License-Identifier: Apache-2.0
// Layer errors: the windows go through the original layer by layer, and what each layer is given goes to the
// converted model's layer too.
#include "core/evaluation/compare.h"

#include "core/model/layer_sweep.h"
#include "kernels/api/error.h"

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

// The converted model's layers, each given the chunk that the original's layer gets.
class ErrorMeter {
public:
    ErrorMeter(const JobContext& job, const OpenModel& converted, const RunOptions& run, std::int64_t chunk,
               std::int64_t length)
        : m_backend(*converted.backend),
          m_transformer(converted.backend, converted.model),
          m_session(m_transformer.createSession({.threads = run.threads,
                                                 .compute = resolveCompute(run, converted),
                                                 .max_rows = chunk,
                                                 .stop = job.stopToken()})),
          m_cache(m_transformer.createLayerCache(resolveKvFormat(run, converted), length, chunk)),
          m_hidden(makeTensor(m_backend, DType::F32, {chunk, converted.model->config.hidden_size})) {}

    void startLayer() { m_difference = m_norm = 0; }

    void before(std::int64_t start, const TensorView& hidden) {
        if (start == 0)
            m_cache.truncate(0);
        m_backend.copy(m_session.stream(), m_hidden.data(), hidden.data, hidden.bytes());
        m_session.stream().synchronize();
    }

    void after(int layer, const TensorView& hidden) {
        const std::int64_t count = hidden.shape[0];
        const Tensor mine = m_hidden.rows(0, count);
        m_transformer.runLayer(m_session, layer, mine.view(), count, m_cache);
        m_cache.advance(count);
        const auto size = static_cast<std::size_t>(hidden.shape.count());
        m_expected.resize(size);
        m_found.resize(size);
        m_backend.download(m_session.stream(), m_found.data(), mine.data(), mine.bytes());
        m_backend.download(m_session.stream(), m_expected.data(), hidden.data, hidden.bytes());
        for (std::size_t k = 0; k < size; ++k) {
            const double expected = m_expected[k], difference = expected - static_cast<double>(m_found[k]);
            m_difference += difference * difference;
            m_norm += expected * expected;
        }
    }

    double error() const { return m_norm > 0 ? std::sqrt(m_difference / m_norm) : 0.0; }

private:
    Backend& m_backend;
    Transformer m_transformer;
    Session m_session;
    KvCache m_cache;
    Tensor m_hidden;  // [chunk, hidden]: the layer's input, then the converted layer's output
    std::vector<float> m_expected, m_found;  // [rows, hidden]
    double m_difference = 0, m_norm = 0;     // of the layer, sums of squares
};

void checkPair(const OpenModel& original, const OpenModel& converted,
               const std::vector<std::vector<TokenId>>& windows) {
    const ModelConfig &a = original.model->config, &b = converted.model->config;
    if (a.layers != b.layers || a.hidden_size != b.hidden_size || original.backend != converted.backend)
        throw Error(ErrorCode::InvalidInput, "layer errors: " + converted.name + " is not a conversion of " +
                                                 original.name + " on the same device");
    for (const auto& window : windows) {
        if (window.empty() || window.size() > static_cast<std::size_t>(a.max_positions))
            throw Error(ErrorCode::InvalidInput, "layer errors: a window of " +
                                                     std::to_string(window.size()) +
                                                     " tokens, expected 1 to the model's " +
                                                     std::to_string(a.max_positions) + " positions");
    }
    if (windows.empty())
        throw Error(ErrorCode::InvalidInput, "layer errors: no windows to measure on");
}

}  // namespace

std::vector<double> layerErrors(JobContext& job, const OpenModel& original, const OpenModel& converted,
                                const std::vector<std::vector<TokenId>>& windows, const RunOptions& run) {
    checkPair(original, converted, windows);
    std::int64_t length = 0;
    for (const auto& window : windows)
        length = std::max(length, static_cast<std::int64_t>(window.size()));
    const std::int64_t chunk = std::min(resolveRows(run, original), length);
    LayerSweep sweep(original.backend, original.model,
                     {.threads = run.threads,
                      .compute = resolveCompute(run, original),
                      .max_rows = chunk,
                      .stop = job.stopToken()},
                     resolveKvFormat(run, original),
                     std::vector<std::span<const TokenId>>(windows.begin(), windows.end()), run.states);
    ErrorMeter meter(job, converted, run, chunk, length);
    const int layers = original.model->config.layers;
    const auto count = static_cast<std::int64_t>(windows.size());
    constexpr std::string_view kStage = "measuring layer errors";
    job.progress(kStage, 0, layers * count);
    sweep.embed();
    std::vector<double> errors;
    for (int layer = 0; layer < layers; ++layer) {
        meter.startLayer();
        for (std::size_t window = 0; window < windows.size(); ++window) {
            job.progress(kStage, layer * count + static_cast<std::int64_t>(window), layers * count);
            job.checkCancelled();
            sweep.pass(
                window, layer, nullptr,
                [&meter](std::int64_t start, const TensorView& hidden) { meter.before(start, hidden); },
                [&meter, layer](std::int64_t, const TensorView& hidden) { meter.after(layer, hidden); });
        }
        errors.push_back(meter.error());
    }
    job.progress(kStage, layers * count, layers * count);
    return errors;
}

}  // namespace eigenscope
