// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/sensitivity.h"

#include "core/base/parallel.h"
#include "core/compression/convert.h"
#include "core/compression/layer_runner.h"
#include "core/evaluation/logit_rows.h"

#include <algorithm>
#include <memory>
#include <utility>

namespace eigenscope {

namespace {

// The original's states and the cost of models that differ from it in one layer.
class Sensitivity {
public:
    Sensitivity(const JobContext& job, const OpenModel& original,
                const std::vector<std::vector<TokenId>>& windows, const RunOptions& run)
        : m_job(job),
          m_config(original.model->config),
          m_threads(run.threads),
          m_length(static_cast<std::int64_t>(windows.front().size()) - 1),
          m_windows(windows.size()),
          m_storage(run.states),
          m_runner(job, original, run, m_length),
          m_states(sizes(m_windows, m_config.hidden_size), run.states),
          m_logits(sizes(m_windows, m_config.vocab_size), run.states),
          m_state(m_states.size(0)) {
        HiddenStates passing(sizes(m_windows, m_config.hidden_size), run.states);
        for (std::size_t window = 0; window < m_windows; ++window) {
            job.checkCancelled();
            // A window's last token is predicted but predicts nothing.
            m_state = m_runner.firstInput(std::span(windows[window]).first(windows[window].size() - 1));
            m_states.write(window, m_state);
            passing.write(window, m_state);
        }
        for (int layer = 0; layer < m_config.layers; ++layer)
            passAll(passing, m_windows, layer);
        for (std::size_t window = 0; window < m_windows; ++window) {
            load(passing, window);
            m_logits.write(window, m_runner.logits());
        }
    }

    // Takes the kept states through a layer of the original.
    void pass(int layer) { passAll(m_states, m_windows, layer); }

    // Mean divergence when `layer`, whose inputs are kept, is that of `converted`.
    double cost(const OpenModel& converted, int layer, LayerRunner::Cache cache) {
        double sum = 0;
        for (std::size_t window = 0; window < m_windows; ++window) {
            m_job.checkCancelled();
            load(m_states, window);
            m_runner.run(converted, layer, nullptr, cache);
            for (int above = layer + 1; above < m_config.layers; ++above)
                m_runner.run(above);
            sum += divergence(window);
        }
        return sum / static_cast<double>(m_windows);
    }

    // The same for many at once, so that a streamed model's layers above are read once for all of them: first
    // each takes the states through its layer, then finish() takes all of these through the layers above.
    void startBatch(std::size_t candidates) {
        m_batch =
            std::make_unique<HiddenStates>(sizes(candidates * m_windows, m_config.hidden_size), m_storage);
        m_batched = 0;
    }
    void addToBatch(const OpenModel& converted, int layer, LayerRunner::Cache cache) {
        for (std::size_t window = 0; window < m_windows; ++window) {
            m_job.checkCancelled();
            load(m_states, window);
            m_runner.run(converted, layer, nullptr, cache);
            m_batch->write(m_batched * m_windows + window, m_runner.hidden());
        }
        ++m_batched;
    }
    std::vector<double> finishBatch(int layer) {
        for (int above = layer + 1; above < m_config.layers; ++above)
            passAll(*m_batch, m_batched * m_windows, above);
        std::vector<double> costs;
        for (std::size_t i = 0; i < m_batched; ++i) {
            double sum = 0;
            for (std::size_t window = 0; window < m_windows; ++window) {
                m_job.checkCancelled();
                load(*m_batch, i * m_windows + window);
                sum += divergence(window);
            }
            costs.push_back(sum / static_cast<double>(m_windows));
        }
        m_batch.reset();
        return costs;
    }

private:
    std::vector<std::size_t> sizes(std::size_t count, int width) const {
        return std::vector<std::size_t>(count,
                                        static_cast<std::size_t>(m_length) * static_cast<std::size_t>(width));
    }

    void load(const HiddenStates& states, std::size_t index) {
        states.read(index, m_state);
        m_runner.setHidden(m_state);
    }

    void passAll(HiddenStates& states, std::size_t count, int layer) {
        for (std::size_t i = 0; i < count; ++i) {
            m_job.checkCancelled();
            load(states, i);
            m_runner.run(layer);
            states.write(i, m_runner.hidden());
        }
    }

    // Of the logits of the runner's state from the original's of the window.
    double divergence(std::size_t window) {
        m_original_logits.resize(m_logits.size(window));
        m_logits.read(window, m_original_logits);
        return divergenceOf(m_original_logits, m_runner.logits());
    }

    double divergenceOf(const std::vector<float>& first, const std::vector<float>& second) const {
        const auto vocabulary = static_cast<std::size_t>(m_config.vocab_size);
        std::vector<double> rows(static_cast<std::size_t>(m_length));
        parallelFor(m_length, m_threads, [&](std::int64_t row) {
            rows[static_cast<std::size_t>(row)] =
                compareLogits(
                    std::span(first).subspan(static_cast<std::size_t>(row) * vocabulary, vocabulary),
                    std::span(second).subspan(static_cast<std::size_t>(row) * vocabulary, vocabulary))
                    .kl;
        });
        double sum = 0;
        for (double row : rows)
            sum += row;
        return sum / static_cast<double>(m_length);
    }

    const JobContext& m_job;
    const ModelConfig& m_config;
    int m_threads;
    std::int64_t m_length;
    std::size_t m_windows;
    StateOptions m_storage;
    LayerRunner m_runner;
    HiddenStates m_states;  // [windows] of [length, hidden]
    HiddenStates m_logits;  // [windows] of [length, vocab]
    std::vector<float> m_state, m_original_logits;
    std::unique_ptr<HiddenStates> m_batch;  // [candidates * windows] of [length, hidden]
    std::size_t m_batched = 0;              // candidates
};

void checkGrid(const std::vector<int>& grid, int basis_width) {
    if (grid.empty() || grid.front() < 1 || grid.back() != basis_width ||
        std::adjacent_find(grid.begin(), grid.end(), std::greater_equal<>()) != grid.end())
        throw Error(ErrorCode::InvalidInput,
                    "sensitivity: expected a grid of ascending ranks from 1 to the full rank, " +
                        std::to_string(basis_width));
}

void checkQuantised(const QuantisedGrid& quantised, int basis_width) {
    if (quantised.bits.empty())
        return;
    checkGrid(quantised.ranks, basis_width);
    if (std::adjacent_find(quantised.bits.begin(), quantised.bits.end(), std::less_equal<>()) !=
        quantised.bits.end())
        throw Error(ErrorCode::InvalidInput, "sensitivity: expected descending numbers of bits");
    for (int bits : quantised.bits) {
        KvFormat format = KvFormat::quantised(bits);
        if (bits == 0)
            format.bits = -1;  // no codes are no choice here
        format.group = quantised.group;
        format.keys = quantised.keys;
        format.recent = quantised.recent;
        checkKvFormat(format);
    }
}

void check(const OpenModel& original, const std::vector<std::vector<TokenId>>& windows) {
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
}

// Bits of one layer's side; the rest is not quantised.
KvBits bitsAt(const QuantisedGrid& grid, std::size_t layers, std::size_t layer, Side side, int bits) {
    KvBits result = KvBits::uniform(layers, kUnquantised, kUnquantised);
    (side == Side::Keys ? result.keys : result.values)[layer] = bits;
    result.group = grid.group;
    result.key_grouping = grid.keys;
    result.recent = grid.recent;
    return result;
}

}  // namespace

std::vector<int> rankGrid(int basis_width, int count) {
    if (count < 1)
        throw Error(ErrorCode::InvalidInput,
                    "rank grid: expected 1 or more ranks, found " + std::to_string(count));
    std::vector<int> grid;
    for (int i = 1; i <= count; ++i) {
        const auto rank = static_cast<int>((static_cast<std::int64_t>(basis_width) * i + count - 1) / count);
        if (grid.empty() || rank > grid.back())
            grid.push_back(rank);
    }
    return grid;
}

std::vector<int> quantisedRanks(const std::vector<int>& grid) {
    std::vector<int> ranks;
    for (std::size_t i = 0; i < grid.size(); ++i) {
        if ((grid.size() - 1 - i) % 2 == 0)
            ranks.push_back(grid[i]);
    }
    return ranks;
}

SensitivityTable measureSensitivity(JobContext& job, const OpenModel& original, const Statistics& statistics,
                                    const Spectrum& spectrum,
                                    const std::vector<std::vector<TokenId>>& windows,
                                    const std::vector<int>& grid, const RunOptions& run,
                                    const QuantisedGrid& quantised) {
    check(original, windows);
    checkGrid(grid, spectrum.basisWidth());
    checkQuantised(quantised, spectrum.basisWidth());
    const int layers = original.model->config.layers;
    SensitivityTable table;
    table.method = spectrum.method();
    table.options = spectrum.options();
    table.windows = static_cast<std::int64_t>(windows.size());
    table.sequence_length = static_cast<std::int64_t>(windows.front().size());
    table.ranks = grid;
    if (!quantised.bits.empty())
        table.quantised = QuantisedSensitivity{quantised, {}};
    const auto total =
        static_cast<std::int64_t>(static_cast<std::size_t>(layers) * 2 *
                                  (grid.size() + quantised.bits.size() * quantised.ranks.size()));
    std::int64_t done = 0;
    constexpr std::string_view kStage = "measuring sensitivity";
    job.progress(kStage, 0, total);
    Sensitivity sensitivity(job, original, windows, run);
    const bool streamed = original.model->streamed();
    // Where the costs of the batch under way go.
    std::vector<std::pair<std::vector<double>*, std::size_t>> places;
    const auto measure = [&](int layer, Side side, int rank, int bits, std::vector<double>& kl) {
        job.progress(kStage, done++, total);
        job.checkCancelled();
        kl.push_back(0.0);
        if (rank == grid.back() && bits == kUnquantised)
            return;
        const std::optional<int> key = side == Side::Keys ? std::optional(rank) : std::nullopt;
        const std::optional<int> value = side == Side::Values ? std::optional(rank) : std::nullopt;
        const KvBits of = bits == kUnquantised ? KvBits()
                                               : bitsAt(quantised, static_cast<std::size_t>(layers),
                                                        static_cast<std::size_t>(layer), side, bits);
        const OpenModel converted =
            convertOneLayer(job, original, statistics, spectrum, layer, key, value, of);
        const auto cache = of.empty() ? LayerRunner::Cache::OfRun : LayerRunner::Cache::Planned;
        if (streamed) {
            sensitivity.addToBatch(converted, layer, cache);
            places.emplace_back(&kl, kl.size() - 1);
        } else {
            kl.back() = sensitivity.cost(converted, layer, cache);
        }
    };
    for (int layer = 0; layer < layers; ++layer) {
        if (streamed)
            sensitivity.startBatch(static_cast<std::size_t>(total / layers));
        for (Side side : {Side::Keys, Side::Values}) {
            for (int rank : grid)
                measure(layer, side, rank, kUnquantised, table.kl);
            for (int bits : quantised.bits) {
                for (int rank : quantised.ranks)
                    measure(layer, side, rank, bits, table.quantised->kl);
            }
        }
        if (streamed) {
            const std::vector<double> costs = sensitivity.finishBatch(layer);
            for (std::size_t i = 0; i < costs.size(); ++i)
                (*places[i].first)[places[i].second] = costs[i];
            places.clear();
        }
        sensitivity.pass(layer);
    }
    job.progress(kStage, total, total);
    return table;
}

}  // namespace eigenscope
