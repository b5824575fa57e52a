// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/memory_bound.h"

#include "core/checkpoint/safetensors.h"
#include "core/evaluation/memory_sizes.h"
#include "core/spectrum/basis_method.h"

#include <algorithm>

namespace eigenscope {

namespace {}  // namespace

MemoryBound calibrationBound(const OpenModel& model, const CalibrationOptions& options, int error_points,
                             bool keeps) {
    const Sizes sizes(model, options.run);
    const ModelConfig& config = sizes.config();
    const auto length = std::int64_t{std::min(options.sequence_length, config.max_positions)};
    const bool attention = options.attention_queries > 0;
    const int group =
        options.head_group > 0 ? options.head_group : automaticHeadGroup(config.kv_heads, config.head_dim);
    const std::int64_t chunk = attention ? length : std::min(resolveRows(options.run, model), length);
    MemoryBound bound = startBound(model, sizes);
    const std::int64_t layer = sizes.moments(group, attention);
    // Sums of a layer on the device and as they are taken from there; of a resident model of all layers.
    bound.statistics = config.layers * layer + layer * (bound.streamed ? 3 : config.layers + 2);
    if (keeps)
        bound.statistics += (config.layers + 1) * layer;
    bound.working = sizes.running(length, chunk, 0);
    if (attention)
        bound.working += sizes.attention(length, options.attention_queries);
    if (options.average_samples > 1)
        bound.working += length * 2 * (config.query_heads + config.kv_heads) * config.head_dim * kF32 *
                         (bound.streamed ? 1 : config.layers);
    if (bound.streamed)
        addStates(bound, sizes.states(length) * options.samples, options.run.states);
    if (error_points > 0) {
        // Afterwards; the statistics stay.
        const std::int64_t windows = std::min<std::int64_t>(options.samples, kProbes);
        MemoryBound errors = startBound(model, sizes);
        errors.statistics = config.layers * layer + sizes.spectrum(group);
        errors.working =
            (1 + group) * sizes.running(length, length, 0) + sizes.folding(group) + 4 * sizes.states(length);
        addStates(errors, 2 * windows * sizes.states(length), options.run.states);
        bound = largerOf(bound, errors);
    }
    return bound;
}

MemoryBound conversionBound(const OpenModel& model, const Statistics& statistics, const RankPlan& plan,
                            int refit_windows, int refit_length, const RunOptions& run) {
    const Sizes sizes(model, run);
    const ModelConfig& config = sizes.config();
    MemoryBound bound = startBound(model, sizes);
    bound.statistics = sizes.spectrum(plan.head_group);
    const std::int64_t widening = plan.head_group;
    bound.working = sizes.folding(widening) + static_cast<std::int64_t>(SafetensorsWriter::kPiece);
    if (!bound.streamed)
        bound.weights += config.layers * sizes.folding(widening) / 4;
    std::int64_t length = 1, tokens = 0;
    for (const auto& window : statistics.probe_windows) {
        length = std::max(length, static_cast<std::int64_t>(window.size()));
        tokens += static_cast<std::int64_t>(window.size());
    }
    const std::int64_t chunk = std::min(resolveRows(run, model), length);
    bound.working += (1 + widening) * sizes.running(length, chunk, 0);
    std::int64_t states = sizes.states(tokens);
    if (refit_windows > 0) {
        bound.working += sizes.regression(widening) +
                         (1 + widening) * sizes.running(refit_length, refit_length, 0) +
                         6 * sizes.states(refit_length) * widening;
        states = std::max(states, 2 * refit_windows * sizes.states(refit_length));
        // Refitted projections, as float32.
        const std::int64_t outputs = config.layers * config.hidden_size * config.query_heads *
                                     std::int64_t{config.head_dim} * widening * kF32;
        if (bound.streamed)
            addStates(bound, outputs, run.states);
        else
            bound.weights += outputs;
    }
    addStates(bound, states, run.states);
    return bound;
}

MemoryBound perplexityBound(const OpenModel& model, std::int64_t windows, std::int64_t length,
                            const PerplexityOptions& options) {
    const Sizes sizes(model, options.run);
    MemoryBound bound = startBound(model, sizes);
    const std::int64_t chunk = std::min(resolveRows(options.run, model, options.chunk), length);
    bound.working = sizes.running(length, chunk, chunk);
    if (bound.streamed)
        addStates(bound, windows * sizes.states(length), options.run.states);
    return bound;
}

}  // namespace eigenscope
