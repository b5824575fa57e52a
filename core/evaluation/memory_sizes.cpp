// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/memory_sizes.h"

#include "core/base/process_memory.h"
#include "core/calibration/attention_moments.h"
#include "core/calibration/output_roots.h"
#include "core/model/layer_sweep.h"

#include <algorithm>

namespace eigenscope {

Sizes::Sizes(const OpenModel& model, const RunOptions& run)
    : m_model(*model.model),
      m_config(m_model.config),
      m_threads(run.threads > 0 ? run.threads : model.backend->info().threads),
      m_specs(kvLayerSpecs(m_config, resolveKvFormat(run, model))) {}

std::int64_t Sizes::states(std::int64_t tokens) const { return LayerSweep::stateBytes(tokens, m_config); }

std::int64_t Sizes::weights() const {
    return m_model.streamed() ? m_model.source->hostBytes() : m_model.weightBytes();
}

std::int64_t Sizes::running(std::int64_t length, std::int64_t chunk, std::int64_t logit_rows) const {
    const auto activations = static_cast<std::int64_t>(activationBytes(m_config, chunk, logit_rows));
    std::int64_t traced = 0;  // queries and keys before rotation
    if (m_config.position == PositionKind::Rotary)
        traced = chunk * (m_config.query_heads + m_config.kv_heads) * m_config.head_dim * kF32;
    return activations + traced + cache(length, chunk) + states(chunk) + 2 * states(length) + widened();
}

std::int64_t Sizes::moments(int group, bool attention) const {
    const auto of = [](std::int64_t heads, std::int64_t width) { return heads * width * (width + 1) * kF64; };
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

std::int64_t Sizes::spectrum(int group) const {
    const std::int64_t width = std::int64_t{m_config.head_dim} * group;
    return m_config.layers * (m_config.kv_heads / group) * 4 * width * (width + 2) * kF64;
}

std::int64_t Sizes::attention(std::int64_t length, std::int64_t queries) const {
    const std::int64_t heads = m_config.query_heads, width = m_config.head_dim;
    const std::int64_t samples = AttentionMoments::positionsAtATime(m_config, length, queries);
    const std::int64_t weights = (heads * samples * (length + 1) + 2 * m_config.kv_heads * length) * kF64;
    const std::int64_t rows = samples * heads * width * kF32;
    // The op that weighs: a head's keys and values a thread, rows rounded up to whole vectors.
    const std::int64_t weighing = m_threads * (2 * length + width) * (width + 32) * kF32;
    const std::int64_t roots = heads * width * width * kF32 * (m_model.streamed() ? 1 : m_config.layers);
    const std::int64_t finding_roots = heads * width * (width * (2 * kF64 + kF32) + kOutputRootRows * kF32);
    return weights + rows + weighing + roots + finding_roots;
}

std::int64_t Sizes::folding(std::int64_t widening) const {
    const std::int64_t hidden = m_config.hidden_size;
    const std::int64_t outer = std::int64_t{m_config.query_heads} * m_config.head_dim;
    // Heads that share a latent have queries and outputs wider than the original's.
    return hidden * outer * (1 + widening) * (kF64 + 2 * kF32) + 2 * hidden * outer * widening * kF32;
}

std::int64_t Sizes::regression(std::int64_t widening) const {
    const std::int64_t features = std::int64_t{m_config.query_heads} * m_config.head_dim * widening;
    return (5 * features * features + 5 * features * m_config.hidden_size) * kF64;
}

std::int64_t Sizes::cache(std::int64_t length, std::int64_t chunk) const {
    std::size_t most = 0;
    for (const KvLayerSpec& spec : m_specs)
        most = std::max(most, spec.bytes(1, length, chunk));
    // Windows go through all layers of a resident model, each with a cache of its own.
    return static_cast<std::int64_t>(most) * (m_model.streamed() ? 1 : m_config.layers);
}

std::int64_t Sizes::widened() const {
    if (weightDType(m_model) == DType::F32)
        return 0;
    const std::int64_t hidden = m_config.hidden_size;
    return hidden *
           std::max<std::int64_t>(m_config.intermediate_size,
                                  std::int64_t{m_config.query_heads} * m_config.head_dim) *
           kF32;
}

std::int64_t Sizes::attentionRows(std::int64_t length) const {
    std::int64_t keys = m_config.head_dim, values = keys;
    for (const KvLayerSpec& spec : m_specs) {
        keys = std::max<std::int64_t>(keys, spec.key_width);
        values = std::max<std::int64_t>(values, spec.value_width);
    }
    // Queries and outputs as they come and by head; keys as stored, exact and lifted; the output projection,
    // widened on the device.
    const std::int64_t rows =
        2 * m_config.query_heads * (keys + values) + std::int64_t{3} * m_config.kv_heads * keys;
    return (length * rows + 2 * m_config.hidden_size * m_config.query_heads * values) * kF32;
}

MemoryBound startBound(const OpenModel& model, const Sizes& sizes) {
    MemoryBound bound;
    bound.streamed = model.model->streamed();
    bound.process = residentBytes();
    bound.weights = sizes.weights();
    return bound;
}

void addStates(MemoryBound& bound, std::int64_t bytes, const StateOptions& options) {
    if (spillsStates(bytes, options))
        bound.spilled = true;
    else
        bound.states += bytes;
}

MemoryBound largerOf(const MemoryBound& first, const MemoryBound& second) {
    MemoryBound bound;
    bound.streamed = first.streamed || second.streamed;
    bound.spilled = first.spilled || second.spilled;
    bound.process = std::max(first.process, second.process);
    bound.weights = std::max(first.weights, second.weights);
    bound.working = std::max(first.working, second.working);
    bound.states = std::max(first.states, second.states);
    bound.statistics = std::max(first.statistics, second.statistics);
    return bound;
}

}  // namespace eigenscope
