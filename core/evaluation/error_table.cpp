// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/error_table.h"

#include "core/compression/convert.h"
#include "core/compression/layer_runner.h"
#include "core/spectrum/error_budget.h"

#include <cmath>
#include <set>

namespace eigenscope {

namespace {

void check(const OpenModel& original, const std::vector<std::vector<TokenId>>& windows) {
    const auto most = static_cast<std::size_t>(original.model->config.max_positions);
    if (windows.empty())
        throw Error(ErrorCode::InvalidInput, "layer errors: no windows to measure on");
    for (const auto& window : windows) {
        if (window.empty() || window.size() != windows.front().size() || window.size() > most)
            throw Error(ErrorCode::InvalidInput, "layer errors: a window of " +
                                                     std::to_string(window.size()) +
                                                     " tokens, expected windows of one length, 1 to the "
                                                     "model's " +
                                                     std::to_string(most) + " positions");
    }
}

struct Squares {
    double difference = 0, norm = 0;
    void add(const std::vector<float>& expected, const std::vector<float>& found) {
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const double e = expected[i], d = e - static_cast<double>(found[i]);
            difference += d * d;
            norm += e * e;
        }
    }
    double relative() const { return norm > 0 ? std::sqrt(difference / norm) : 0.0; }
};

}  // namespace

LayerErrorTable measureErrorTable(JobContext& job, const OpenModel& original, const Statistics& statistics,
                                  const Spectrum& spectrum, Criterion criterion,
                                  const std::vector<std::vector<TokenId>>& windows, int points,
                                  const RunOptions& run) {
    check(original, windows);
    const int layers = original.model->config.layers, width = spectrum.basisWidth();
    LayerErrorTable table;
    table.method = spectrum.method();
    table.options = spectrum.options();
    table.criterion = nameOf(criterion);
    table.windows = static_cast<std::int64_t>(windows.size());
    table.sequence_length = static_cast<std::int64_t>(windows.front().size());
    constexpr std::string_view kStage = "measuring layer errors";
    const std::int64_t total = std::int64_t{layers} * points;
    job.progress(kStage, 0, total);
    LayerRunner runner(job, original, run, table.sequence_length);
    const std::vector<std::size_t> sizes(
        windows.size(),
        windows.front().size() * static_cast<std::size_t>(original.model->config.hidden_size));
    HiddenStates inputs(sizes, run.states), outputs(sizes, run.states);
    std::vector<float> state(sizes.front()), expected(sizes.front());
    for (std::size_t i = 0; i < windows.size(); ++i) {
        job.checkCancelled();
        inputs.write(i, runner.firstInput(windows[i]));
    }
    for (int layer = 0; layer < layers; ++layer) {
        for (std::size_t i = 0; i < windows.size(); ++i) {
            job.checkCancelled();
            inputs.read(i, state);
            runner.setHidden(state);
            runner.run(layer);
            outputs.write(i, runner.hidden());
        }
        std::vector<LayerErrorTable::Point>& path = table.layers.emplace_back();
        for (const auto& [key_rank, value_rank] : errorPath(spectrum, layer, criterion, points)) {
            job.progress(kStage, std::int64_t{layer} * points + static_cast<std::int64_t>(path.size()),
                         total);
            LayerErrorTable::Point point{key_rank, value_rank, 0.0};
            if (!path.empty() && path.back().key_rank == key_rank && path.back().value_rank == value_rank) {
                point.error = path.back().error;
            } else if (key_rank < width || value_rank < width) {  // else nothing is lost but rounding
                const OpenModel converted =
                    convertOneLayer(job, original, statistics, spectrum, layer, key_rank, value_rank);
                Squares squares;
                for (std::size_t i = 0; i < windows.size(); ++i) {
                    job.checkCancelled();
                    inputs.read(i, state);
                    runner.setHidden(state);
                    runner.run(converted, layer);
                    outputs.read(i, expected);
                    squares.add(expected, runner.hidden());
                }
                point.error = squares.relative();
            }
            path.push_back(point);
        }
        for (std::size_t i = 0; i < windows.size(); ++i) {
            outputs.read(i, state);
            inputs.write(i, state);
        }
    }
    job.progress(kStage, total, total);
    return table;
}

void measureErrorTables(JobContext& job, const OpenModel& original, Statistics& statistics, int points,
                        const RunOptions& run) {
    const bool attention = !statistics.layers.empty() && statistics.layers.front().hasAttentionMoments();
    for (const BasisMethod& method : basisMethods()) {
        if (method.needs_attention_moments && !attention)
            continue;
        for (const int group : std::set{1, usualHeadGroup(method.name, false, statistics)}) {
            const auto spectrum =
                computeSpectrum(job, *original.backend, statistics, method.name, {.head_group = group});
            statistics.tables.set(measureErrorTable(job, original, statistics, *spectrum, Criterion::Energy,
                                                    statistics.probe_windows, points, run));
        }
    }
}

}  // namespace eigenscope
