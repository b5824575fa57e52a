// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/sensitivity.h"

#include "core/base/parallel.h"
#include "core/compression/convert.h"
#include "core/compression/layer_runner.h"
#include "core/evaluation/logit_rows.h"

#include <algorithm>

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
          m_runner(job, original, run, m_length) {
        for (const auto& window : windows) {
            // A window's last token is predicted but predicts nothing.
            m_states.push_back(
                m_runner.firstInput(std::span(window).first(window.size() - 1), &m_logits.emplace_back()));
        }
    }

    // Takes the kept states through a layer of the original.
    void pass(int layer) {
        for (std::vector<float>& state : m_states) {
            m_runner.setHidden(state);
            m_runner.run(layer);
            state = m_runner.hidden();
        }
    }

    // Mean divergence when `layer`, whose inputs are kept, is that of `converted`.
    double cost(const OpenModel& converted, int layer, LayerRunner::Cache cache) {
        double sum = 0;
        for (std::size_t window = 0; window < m_states.size(); ++window) {
            m_job.checkCancelled();
            m_runner.setHidden(m_states[window]);
            m_runner.run(converted, layer, nullptr, cache);
            for (int above = layer + 1; above < m_config.layers; ++above)
                m_runner.run(above);
            sum += divergenceOf(m_logits[window], m_runner.logits());
        }
        return sum / static_cast<double>(m_states.size());
    }

private:
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
    LayerRunner m_runner;
    std::vector<std::vector<float>> m_states;  // [windows] of [length, hidden]
    std::vector<std::vector<float>> m_logits;  // [windows] of [length, vocab]
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
    const auto costOf = [&](int layer, Side side, int rank, int bits) {
        job.progress(kStage, done++, total);
        job.checkCancelled();
        if (rank == grid.back() && bits == kUnquantised)
            return 0.0;
        const std::optional<int> key = side == Side::Keys ? std::optional(rank) : std::nullopt;
        const std::optional<int> value = side == Side::Values ? std::optional(rank) : std::nullopt;
        const KvBits of = bits == kUnquantised ? KvBits()
                                               : bitsAt(quantised, static_cast<std::size_t>(layers),
                                                        static_cast<std::size_t>(layer), side, bits);
        const OpenModel converted =
            convertOneLayer(job, original, statistics, spectrum, layer, key, value, of);
        return sensitivity.cost(converted, layer,
                                of.empty() ? LayerRunner::Cache::OfRun : LayerRunner::Cache::Planned);
    };
    for (int layer = 0; layer < layers; ++layer) {
        for (Side side : {Side::Keys, Side::Values}) {
            for (int rank : grid)
                table.kl.push_back(costOf(layer, side, rank, kUnquantised));
            for (int bits : quantised.bits) {
                for (int rank : quantised.ranks)
                    table.quantised->kl.push_back(costOf(layer, side, rank, bits));
            }
        }
        sensitivity.pass(layer);
    }
    job.progress(kStage, total, total);
    return table;
}

}  // namespace eigenscope
