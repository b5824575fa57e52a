// SPDX-License-Identifier: Apache-2.0
#include "core/compression/attention_overlay.h"

#include <utility>

namespace eigenscope {

namespace {

// A layer and the lease that most of its tensors live by.
struct Held {
    LayerLease below;
    LayerWeights weights;
};

constexpr Linear AttentionWeights::*kProjections[] = {&AttentionWeights::query, &AttentionWeights::key,
                                                      &AttentionWeights::value, &AttentionWeights::output};

}  // namespace

AttentionWeights ownPart(AttentionWeights weights, const AttentionWeights& below) {
    for (const auto part : kProjections) {
        if ((weights.*part).weight.buffer() == (below.*part).weight.buffer())
            weights.*part = {};
    }
    if (weights.lift_basis.buffer() == below.lift_basis.buffer())
        weights.lift_basis = weights.lift_mean = {};
    weights.query_norm = weights.key_norm = {};  // nobody makes these anew
    return weights;
}

AttentionWeights completed(AttentionWeights own, const AttentionWeights& below) {
    for (const auto part : kProjections) {
        if ((own.*part).weight.empty())
            own.*part = below.*part;
    }
    if (own.lift_basis.empty()) {
        own.lift_basis = below.lift_basis;
        own.lift_mean = below.lift_mean;
    }
    own.query_norm = below.query_norm;
    own.key_norm = below.key_norm;
    return own;
}

AttentionOverlay::AttentionOverlay(std::shared_ptr<const Model> below, MakeAttention make, std::int64_t bytes)
    : m_below(std::move(below)), m_make(std::move(make)), m_bytes(bytes) {}

EmbeddingLease AttentionOverlay::embedding(const std::stop_token& stop) const {
    return m_below->embedding(stop);
}

HeadLease AttentionOverlay::head(const std::stop_token& stop) const { return m_below->head(stop); }

LayerLease AttentionOverlay::layer(int layer, const std::stop_token& stop) const {
    const std::lock_guard lock(m_mutex);
    if (m_layer != layer) {
        m_attention.reset();
        m_layer = -1;
    }
    const auto held = std::make_shared<Held>();
    held->below = m_below->layer(layer, stop);
    held->weights = *held->below;
    if (!m_attention) {
        m_attention = ownPart(m_make(layer, held->below->attention, stop), held->below->attention);
        m_layer = layer;
    }
    held->weights.attention = completed(*m_attention, held->below->attention);
    return {held, &held->weights};
}

void AttentionOverlay::forget() const {
    const std::lock_guard lock(m_mutex);
    m_attention.reset();
    m_layer = -1;
}

}  // namespace eigenscope
