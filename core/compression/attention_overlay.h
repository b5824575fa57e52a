// SPDX-License-Identifier: Apache-2.0
// A streamed model in which attention is another's: each layer's projections are made when the layer is asked
// for, from those of the model below, and kept until the next layer is; all else passes through. Any thread.
#pragma once

#include "core/model/model.h"

#include <functional>
#include <memory>
#include <mutex>
#include <optional>

namespace eigenscope {

// Without the projections that share their memory with those of `below`, which must not be kept in memory,
// and with those of `below` in the place of the ones that are not there.
AttentionWeights ownPart(AttentionWeights weights, const AttentionWeights& below);
AttentionWeights completed(AttentionWeights own, const AttentionWeights& below);

// Projections that are not made anew are those of `below`, or empty.
using MakeAttention =
    std::function<AttentionWeights(int layer, const AttentionWeights& below, const std::stop_token& stop)>;

class AttentionOverlay : public WeightSource {
public:
    // `below` is streamed. `bytes`: the most that one layer's made projections and their making take.
    AttentionOverlay(std::shared_ptr<const Model> below, MakeAttention make, std::int64_t bytes);

    EmbeddingLease embedding(const std::stop_token& stop) const override;
    LayerLease layer(int layer, const std::stop_token& stop) const override;
    HeadLease head(const std::stop_token& stop) const override;
    std::int64_t hostBytes() const override { return m_below->source->hostBytes() + m_bytes; }
    std::int64_t deviceBytes() const override { return m_below->source->deviceBytes() + m_bytes; }

    void forget() const;  // what would be made now may differ from what is kept

private:
    std::shared_ptr<const Model> m_below;
    MakeAttention m_make;
    std::int64_t m_bytes;
    mutable std::mutex m_mutex;
    mutable int m_layer = -1;
    mutable std::optional<AttentionWeights> m_attention;  // ownPart()
};

}  // namespace eigenscope
