// SPDX-License-Identifier: Apache-2.0
// Sizes that stated memory bounds are made of (memory_bound.h), for the files that state them only.
#pragma once

#include "core/evaluation/memory_bound.h"
#include "core/model/kv_cache.h"

#include <vector>

namespace eigenscope {

inline constexpr std::int64_t kF32 = sizeof(float), kF64 = sizeof(double);
inline constexpr std::int64_t kProbes = 4;  // windows that calibration keeps for layer errors

// Of one model and one run of it, in bytes.
class Sizes {
public:
    Sizes(const OpenModel& model, const RunOptions& run);

    std::int64_t weights() const;

    // A session, one layer's cache, and the window on its way, of `count` windows' tokens in chunks.
    std::int64_t running(std::int64_t length, std::int64_t chunk, std::int64_t logit_rows) const;

    std::int64_t states(std::int64_t tokens) const;  // hidden states

    // Moments of a layer as calibration keeps them: gram and sum of each kind.
    std::int64_t moments(int group, bool attention) const;

    // Bases of all layers: encoders and decoders of keys and values.
    std::int64_t spectrum(int group) const;

    // Weighing attention: sampled queries by key, what weighing them takes, and the output projection's
    // roots.
    std::int64_t attention(std::int64_t length, std::int64_t queries) const;

    // Folding bases into a layer: projections in float64 on their way, and the new ones.
    std::int64_t folding(std::int64_t widening) const;

    // Regression of a layer's output projection: Gram matrix, its products, and copies while it is solved.
    std::int64_t regression(std::int64_t widening) const;

    // Caches for windows of `length` tokens, of one layer or of all, as the model runs.
    std::int64_t cache(std::int64_t length, std::int64_t chunk) const;

    // Reading a layer's attention back to compare heads (attention_rows.h).
    std::int64_t attentionRows(std::int64_t length) const;

    const ModelConfig& config() const { return m_config; }

private:
    // Weights that arithmetic does not take as they are are converted a panel at a time; no panel is larger
    // than the largest matrix of a layer.
    std::int64_t widened() const;

    const Model& m_model;
    const ModelConfig& m_config;
    std::int64_t m_threads;
    std::vector<KvLayerSpec> m_specs;
};

// A bound of what is there now and of the weights.
MemoryBound startBound(const OpenModel& model, const Sizes& sizes);
// Into the bound, unless they go to a file.
void addStates(MemoryBound& bound, std::int64_t bytes, const StateOptions& options);

}  // namespace eigenscope
