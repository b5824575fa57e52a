// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/sensitivity.h"

#include "core/base/parallel.h"
#include "core/compression/convert.h"
#include "core/model/transformer.h"

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

using Logits = Eigen::Map<const Eigen::ArrayXf>;

double sumOf(const Eigen::ArrayXf& values) { return values.cast<double>().sum(); }

// KL(p || q) of two rows of logits. In terms of their difference, so that little is left to cancel when they
// agree.
double divergence(const Logits& p, const Logits& q) {
    const float p_top = p.maxCoeff(), q_top = q.maxCoeff();
    const Eigen::ArrayXf weights = (p - p_top).exp();
    const double p_sum = sumOf(weights), q_sum = sumOf((q - q_top).exp());
    const double difference =
        ((p - p_top) - (q - q_top)).cast<double>().matrix().dot(weights.cast<double>().matrix());
    return std::max(0.0, difference / p_sum + std::log(q_sum) - std::log(p_sum));
}

// The original's states and the cost of models that differ from it in one layer.
class Sensitivity {
public:
    Sensitivity(const JobContext& job, const OpenModel& original,
                const std::vector<std::vector<TokenId>>& windows, const RunOptions& run)
        : m_job(job),
          m_original(original),
          m_run(run),
          m_backend(*original.backend),
          m_config(original.model->config),
          m_transformer(original.backend, original.model),
          m_length(static_cast<std::int64_t>(windows.front().size()) - 1),
          m_session(m_transformer.createSession({.threads = run.threads,
                                                 .compute = resolveCompute(run, original),
                                                 .max_rows = m_length,
                                                 .stop = job.stopToken()})),
          m_cache(m_transformer.createCache(resolveKvFormat(run, original), m_length, 1, m_length)),
          m_hidden(makeTensor(m_backend, DType::F32, {m_length, m_config.hidden_size})) {
        // A window's last token is predicted but predicts nothing.
        for (const auto& window : windows)
            m_windows.emplace_back(window.begin(), window.end() - 1);
    }

    // Runs the original and keeps what its first layer gets and its logits.
    void start() {
        Keeper keeper(*this);
        for (const auto& window : m_windows) {
            m_cache.truncate(0);
            const TensorView logits =
                m_transformer.forward(m_session, window, m_cache, LogitsOf::All, &keeper);
            m_logits.push_back(download(logits));
        }
        m_cache.truncate(0);
    }

    // Takes the kept states through a layer of the original.
    void pass(int layer) {
        for (std::vector<float>& state : m_states) {
            upload(state);
            m_transformer.runLayer(m_session, layer, m_hidden.view(), m_length, m_cache);
            state = download(m_hidden.view());
        }
    }

    // Mean divergence when `layer`, whose inputs are kept, is that of `converted`.
    double cost(const OpenModel& converted, int layer) {
        const Transformer transformer(converted.backend, converted.model);
        KvCache cache = transformer.createCache(resolveKvFormat(m_run, m_original), m_length, 1, m_length);
        double sum = 0;
        for (std::size_t window = 0; window < m_windows.size(); ++window) {
            m_job.checkCancelled();
            upload(m_states[window]);
            // The session's activations are as wide as the widest layer, the original's.
            transformer.runLayer(m_session, layer, m_hidden.view(), m_length, cache);
            for (int above = layer + 1; above < m_config.layers; ++above)
                m_transformer.runLayer(m_session, above, m_hidden.view(), m_length, m_cache);
            sum += divergenceOf(m_logits[window], download(m_transformer.logits(m_session, m_hidden.view())));
        }
        return sum / static_cast<double>(m_windows.size());
    }

private:
    struct Keeper : LayerObserver {
        explicit Keeper(Sensitivity& owner) : owner(owner) {}
        void onLayerInput(int layer, const TensorView& hidden) override {
            if (layer == 0)
                owner.m_states.push_back(owner.download(hidden));
        }
        Sensitivity& owner;
    };

    std::vector<float> download(const TensorView& view) {
        std::vector<float> host(static_cast<std::size_t>(view.shape.count()));
        m_backend.download(m_session.stream(), host.data(), view.data, view.bytes());
        return host;
    }

    void upload(const std::vector<float>& state) {
        m_backend.upload(m_session.stream(), m_hidden.data(), state.data(), state.size() * sizeof(float));
        m_session.stream().synchronize();
    }

    double divergenceOf(const std::vector<float>& first, const std::vector<float>& second) const {
        const std::int64_t vocabulary = m_config.vocab_size;
        std::vector<double> rows(static_cast<std::size_t>(m_length));
        parallelFor(m_length, m_run.threads, [&](std::int64_t row) {
            rows[static_cast<std::size_t>(row)] =
                divergence(Logits(first.data() + row * vocabulary, vocabulary),
                           Logits(second.data() + row * vocabulary, vocabulary));
        });
        double sum = 0;
        for (double row : rows)
            sum += row;
        return sum / static_cast<double>(m_length);
    }

    const JobContext& m_job;
    const OpenModel& m_original;
    const RunOptions& m_run;
    Backend& m_backend;
    const ModelConfig& m_config;
    Transformer m_transformer;
    std::int64_t m_length;
    Session m_session;
    KvCache m_cache;
    Tensor m_hidden;  // [length, hidden]
    std::vector<std::vector<TokenId>> m_windows;
    std::vector<std::vector<float>> m_states;  // [windows] of [length, hidden]
    std::vector<std::vector<float>> m_logits;  // [windows] of [length, vocab]
};

void check(const OpenModel& original, const std::vector<std::vector<TokenId>>& windows,
           const std::vector<int>& grid) {
    const ModelConfig& config = original.model->config;
    const auto fail = [](const std::string& message) {
        throw Error(ErrorCode::InvalidInput, "sensitivity: " + message);
    };
    if (windows.empty())
        fail("no windows to measure on");
    for (const auto& window : windows) {
        if (window.size() < 2 || window.size() != windows.front().size() ||
            window.size() > static_cast<std::size_t>(config.max_positions))
            fail("a window of " + std::to_string(window.size()) +
                 " tokens, expected windows of one length, 2 to " + std::to_string(config.max_positions));
    }
    if (grid.empty() || grid.front() < 1 || grid.back() != config.head_dim ||
        std::adjacent_find(grid.begin(), grid.end(), std::greater_equal<>()) != grid.end())
        fail("expected a grid of ascending ranks from 1 to the head dimension, " +
             std::to_string(config.head_dim));
}

}  // namespace

std::vector<int> rankGrid(int head_dim, int count) {
    if (count < 1)
        throw Error(ErrorCode::InvalidInput,
                    "rank grid: expected 1 or more ranks, found " + std::to_string(count));
    std::vector<int> grid;
    for (int i = 1; i <= count; ++i) {
        const auto rank = static_cast<int>((static_cast<std::int64_t>(head_dim) * i + count - 1) / count);
        if (grid.empty() || rank > grid.back())
            grid.push_back(rank);
    }
    return grid;
}

SensitivityTable measureSensitivity(JobContext& job, const OpenModel& original, const Statistics& statistics,
                                    const Spectrum& spectrum,
                                    const std::vector<std::vector<TokenId>>& windows,
                                    const std::vector<int>& grid, const RunOptions& run) {
    check(original, windows, grid);
    const int layers = original.model->config.layers;
    SensitivityTable table;
    table.method = spectrum.method();
    table.share_key_basis = spectrum.options().share_key_basis;
    table.windows = static_cast<std::int64_t>(windows.size());
    table.sequence_length = static_cast<std::int64_t>(windows.front().size());
    table.ranks = grid;
    const std::int64_t total = std::int64_t{layers} * 2 * static_cast<std::int64_t>(grid.size());
    constexpr std::string_view kStage = "measuring sensitivity";
    job.progress(kStage, 0, total);
    Sensitivity sensitivity(job, original, windows, run);
    sensitivity.start();
    for (int layer = 0; layer < layers; ++layer) {
        for (Side side : {Side::Keys, Side::Values}) {
            for (int rank : grid) {
                job.progress(kStage, static_cast<std::int64_t>(table.kl.size()), total);
                job.checkCancelled();
                if (rank == grid.back()) {
                    table.kl.push_back(0.0);
                    continue;
                }
                const OpenModel converted =
                    convertOneSide(job, original, statistics, spectrum, layer, side, rank);
                table.kl.push_back(sensitivity.cost(converted, layer));
            }
        }
        sensitivity.pass(layer);
    }
    job.progress(kStage, total, total);
    return table;
}

}  // namespace eigenscope
