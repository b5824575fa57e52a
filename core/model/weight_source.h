// SPDX-License-Identifier: Apache-2.0
// Where a model's weights come from while it runs, when they are not all in memory: part by part, each there
// as long as its lease is held. The parts in the order a forward pass needs them are the embedding, the
// layers, and the head. Any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>

namespace eigenscope {

struct EmbeddingWeights;
struct LayerWeights;
struct HeadWeights;

// Held while the device may read the weights; drop it before the next part is asked for, or both take memory.
using EmbeddingLease = std::shared_ptr<const EmbeddingWeights>;
using LayerLease = std::shared_ptr<const LayerWeights>;
using HeadLease = std::shared_ptr<const HeadWeights>;

class WeightSource {
public:
    virtual ~WeightSource() = default;
    // They wait until the weights are there; a stop makes them throw Cancelled.
    virtual EmbeddingLease embedding(const std::stop_token& stop) const = 0;
    virtual LayerLease layer(int layer, const std::stop_token& stop) const = 0;
    virtual HeadLease head(const std::stop_token& stop) const = 0;
    // The most that parts take together at any time, when no lease outlives its use: on the host, and on a
    // device that has memory of its own.
    virtual std::int64_t hostBytes() const = 0;
    virtual std::int64_t deviceBytes() const = 0;
};

}  // namespace eigenscope
