// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/memory_bound.h"

#include "core/base/process_memory.h"
#include "core/checkpoint/safetensors.h"
#include "core/model/layer_sweep.h"
#include "core/spectrum/basis_method.h"

#include <algorithm>

namespace eigenscope {

namespace {

constexpr std::int64_t kF32 = sizeof(float), kF64 = sizeof(double);
constexpr std::int64_t kLayerErrorChunk = 256;  // tokens of a call in layerErrors()
constexpr std::int64_t kProbes = 4;             // windows that calibration keeps for layer errors

// Sizes that everything below is made of.
class Sizes {
public:
    Sizes(const OpenModel& model, const RunOptions& run) : m_model(*model.model), m_config(m_model.config) {
        m_specs = kvLayerSpecs(m_config, resolveKvFormat(run, model));
    }

    std::int64_t weights() const {
        return m_model.streamed() ? m_model.source->hostBytes() : m_model.weightBytes();
    }

    // A session, one layer's cache, and the window on its way, of `count` windows' tokens in chunks.
    std::int64_t running(std::int64_t length, std::int64_t chunk, std::int64_t logit_rows) const {
        const auto activations = static_cast<std::int64_t>(activationBytes(m_config, chunk, logit_rows));
        std::int64_t traced = 0;  // queries and keys before rotation
        if (m_config.position == PositionKind::Rotary)
            traced = chunk * (m_config.query_heads + m_config.kv_heads) * m_config.head_dim * kF32;
        return activations + traced + cache(length, chunk) + states(chunk) + 2 * states(length) + widened();
    }

    std::int64_t states(std::int64_t tokens) const { return LayerSweep::stateBytes(tokens, m_config); }

    // Moments of a layer as calibration keeps them: gram and sum of each kind.
    std::int64_t moments(int group, bool attention) const {
        const auto of = [](std::int64_t heads, std::int64_t width) {
            return heads * width * (width + 1) * kF64;
        };
        const std::int64_t heads = m_config.kv_heads, width = m_config.head_dim;
        std::int64_t total = 4 * of(heads, width);
        if (group > 1)
            total += 2 * of(heads / group, width * group);
        if (attention) {
            total += 3 * of(heads, width);  // queries, keys, projection
            if (group > 1)
                total += of(heads / group, width * group);
        }
        return total;
    }

    // Bases of all layers: encoders and decoders of keys and values.
    std::int64_t spectrum(int group) const {
        const std::int64_t width = std::int64_t{m_config.head_dim} * group;
        return m_config.layers * (m_config.kv_heads / group) * 4 * width * (width + 2) * kF64;
    }

    // Weighing attention: a window's rows on the host, sampled queries by key, and the output projection.
    std::int64_t attention(std::int64_t length, std::int64_t queries, int group) const {
        const std::int64_t heads = m_config.query_heads, width = m_config.head_dim;
        const std::int64_t samples = std::min(queries, length);
        const std::int64_t rows = length * 2 * (heads + m_config.kv_heads) * width * kF32;
        const std::int64_t seen = samples * length * (2 * width * kF32 + 2 * kF64);
        const std::int64_t keys = length * width * (2 * group * kF64 + kF32);
        const std::int64_t roots = heads * width * width * (kF32 + kF64);
        const std::int64_t output =
            m_config.hidden_size * heads * width * (2 * kF32) + m_config.hidden_size * width * 2 * kF64;
        return rows + seen + keys + roots + output;
    }

    // Folding bases into a layer: projections in float64 on their way, and the new ones.
    std::int64_t folding(std::int64_t widening) const {
        const std::int64_t hidden = m_config.hidden_size;
        const std::int64_t outer = std::int64_t{m_config.query_heads} * m_config.head_dim;
        // Heads that share a latent have queries and outputs wider than the original's.
        return hidden * outer * (1 + widening) * (kF64 + 2 * kF32) + 2 * hidden * outer * widening * kF32;
    }

    // Regression of a layer's output projection: Gram matrix, its products, and copies while it is solved.
    std::int64_t regression(std::int64_t widening) const {
        const std::int64_t features = std::int64_t{m_config.query_heads} * m_config.head_dim * widening;
        return (5 * features * features + 5 * features * m_config.hidden_size) * kF64;
    }

    const ModelConfig& config() const { return m_config; }

private:
    std::int64_t cache(std::int64_t length, std::int64_t chunk) const {
        std::size_t most = 0;
        for (const KvLayerSpec& spec : m_specs)
            most = std::max(most, spec.bytes(1, length, chunk));
        // Windows go through all layers of a resident model, each with a cache of its own.
        return static_cast<std::int64_t>(most) * (m_model.streamed() ? 1 : m_config.layers);
    }

    // Weights that arithmetic does not take as they are are converted a panel at a time; no panel is larger
    // than the largest matrix of a layer.
    std::int64_t widened() const {
        if (weightDType(m_model) == DType::F32)
            return 0;
        const std::int64_t hidden = m_config.hidden_size;
        return hidden *
               std::max<std::int64_t>(m_config.intermediate_size,
                                      std::int64_t{m_config.query_heads} * m_config.head_dim) *
               kF32;
    }

    const Model& m_model;
    const ModelConfig& m_config;
    std::vector<KvLayerSpec> m_specs;
};

MemoryBound start(const OpenModel& model, const Sizes& sizes) {
    MemoryBound bound;
    bound.streamed = model.model->streamed();
    bound.process = residentBytes();
    bound.weights = sizes.weights();
    return bound;
}

// Into the bound, unless they go to a file.
void addStates(MemoryBound& bound, std::int64_t bytes, const StateOptions& options) {
    if (spillsStates(bytes, options))
        bound.spilled = true;
    else
        bound.states += bytes;
}

}  // namespace

MemoryBound calibrationBound(const OpenModel& model, const CalibrationOptions& options, int error_points,
                             bool keeps) {
    const Sizes sizes(model, options.run);
    const ModelConfig& config = sizes.config();
    const auto length = std::int64_t{std::min(options.sequence_length, config.max_positions)};
    const bool attention = options.attention_queries > 0;
    const int group =
        options.head_group > 0 ? options.head_group : automaticHeadGroup(config.kv_heads, config.head_dim);
    const std::int64_t chunk = attention ? length : std::min<std::int64_t>(256, length);
    MemoryBound bound = start(model, sizes);
    const std::int64_t layer = sizes.moments(group, attention);
    // Sums of a layer on the device and as they are taken from there; of a resident model of all layers.
    bound.statistics = config.layers * layer + layer * (bound.streamed ? 3 : config.layers + 2);
    if (keeps)
        bound.statistics += (config.layers + 1) * layer;
    bound.working = sizes.running(length, chunk, 0);
    if (attention)
        bound.working += sizes.attention(length, options.attention_queries, group);
    if (options.average_samples > 1)
        bound.working += length * 2 * (config.query_heads + config.kv_heads) * config.head_dim * kF32 *
                         (bound.streamed ? 1 : config.layers);
    if (bound.streamed)
        addStates(bound, sizes.states(length) * options.samples, options.run.states);
    if (error_points > 0) {
        // Afterwards; the statistics stay.
        const std::int64_t windows = std::min<std::int64_t>(options.samples, kProbes);
        MemoryBound errors = start(model, sizes);
        errors.statistics = config.layers * layer + sizes.spectrum(1);
        errors.working = 2 * sizes.running(length, length, 0) + sizes.folding(1) + 4 * sizes.states(length);
        addStates(errors, 2 * windows * sizes.states(length), options.run.states);
        bound.statistics = std::max(bound.statistics, errors.statistics);
        bound.working = std::max(bound.working, errors.working);
        bound.states = std::max(bound.states, errors.states);
    }
    return bound;
}

MemoryBound conversionBound(const OpenModel& model, const Statistics& statistics, const RankPlan& plan,
                            int refit_windows, int refit_length, const RunOptions& run) {
    const Sizes sizes(model, run);
    const ModelConfig& config = sizes.config();
    MemoryBound bound = start(model, sizes);
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
    const std::int64_t chunk = std::min(kLayerErrorChunk, length);
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
    MemoryBound bound = start(model, sizes);
    const std::int64_t chunk = std::clamp<std::int64_t>(options.chunk, 1, length);
    bound.working = sizes.running(length, chunk, chunk);
    if (bound.streamed)
        addStates(bound, windows * sizes.states(length), options.run.states);
    return bound;
}

}  // namespace eigenscope
