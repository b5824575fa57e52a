// SPDX-License-Identifier: Apache-2.0
// The preallocated cache of keys and values. Its layout is data: dense, low-rank and quantised caches differ
// in their specs only. One thread at a time.
#pragma once

#include "core/model/kv_format.h"
#include "core/model/model_config.h"
#include "kernels/api/backend.h"

#include <vector>

namespace eigenscope {

struct KvLayerSpec {
    int kv_heads = 0, key_width = 0, value_width = 0;
    KvSideFormat keys, values;
    double bytesPerToken() const;  // of one sequence, in the long run
    // What a cache of `capacity` positions, appended at most `longest` at a time, allocates for the layer.
    std::size_t bytes(int batch, std::int64_t capacity, std::int64_t longest) const;
};
std::vector<KvLayerSpec> kvLayerSpecs(const ModelConfig& config, const KvFormat& format);
// Of one sequence, all layers; rounded up where groups by channel share bytes over positions.
std::size_t kvBytesPerToken(const ModelConfig& config, const KvFormat& format);
// What a KvCache allocates, exactly: codes, scales, and the ring of exact rows where the format has one.
std::size_t kvCacheBytes(const ModelConfig& config, const KvFormat& format, int batch, std::int64_t capacity,
                         std::int64_t longest);
// Converted bytes / original bytes in f16, a token in the long run; what the checkpoint keeps unquantised
// counts as f16 too.
double kvRatio(const ModelConfig& config);

class KvCache {
public:
    // Positions appended in one call, unless said otherwise: as many rows as a session holds by default.
    static constexpr std::int64_t kDefaultLongest = 256;

    // `longest`: positions that one call appends at most; quantised caches with exact rows are sized for it.
    // `sharing`: whether every layer has its own place, or all have one between them, for runs that take a
    // sequence through a layer whole before the next layer begins.
    enum class Sharing : std::uint8_t { PerLayer, OneLayer };
    KvCache(Backend& backend, std::vector<KvLayerSpec> specs, int batch, std::int64_t capacity,
            std::int64_t longest = kDefaultLongest, Sharing sharing = Sharing::PerLayer);

    int batch() const { return m_batch; }
    std::int64_t length() const {
        return m_length;
    }  // positions filled, the same for every sequence of the batch
    std::int64_t capacity() const { return m_capacity; }
    // Before layers append `count` positions: throws when they do not fit, or are more than exact rows serve.
    void prepare(std::int64_t count);
    void advance(std::int64_t count);  // after all layers have appended
    // Forgets the tail; length <= length(). Throws when rows that the next position reads exactly are no
    // longer held; 0 always works, and any length does without a recent window and groups by channel.
    void truncate(std::int64_t length);
    KvView keys(int layer) const { return m_layers.at(static_cast<std::size_t>(layer)).keys.view; }
    KvView values(int layer) const { return m_layers.at(static_cast<std::size_t>(layer)).values.view; }
    std::size_t bytes() const { return m_bytes; }  // allocated
    const std::vector<KvLayerSpec>& specs() const { return m_specs; }

private:
    struct Side {
        KvView view;
        std::shared_ptr<Buffer> data, scales, exact;
    };
    struct Layer {
        Side keys, values;
    };
    Side makeSide(Backend& backend, const KvSideFormat& format, int heads, int width);
    void shareSides(Backend& backend);
    template <typename Visit>
    void forEachRing(Visit visit) const;

    std::vector<KvLayerSpec> m_specs;
    std::vector<Layer> m_layers;
    int m_batch;
    std::int64_t m_length = 0, m_capacity, m_longest;
    std::int64_t m_appended = 0;  // positions that were written since the cache was last empty
    std::size_t m_bytes = 0;
};

}  // namespace eigenscope
