// SPDX-License-Identifier: Apache-2.0
#include "core/model/kv_cache.h"

#include "kernels/api/kv_layout.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace eigenscope {

namespace {

[[noreturn]] void failArgument(const std::string& message) { throw Error(ErrorCode::InvalidInput, message); }

std::size_t bytesOf(const KvView& view) {
    return static_cast<std::size_t>(kvDataBytes(view) + kvScaleBytes(view) + kvExactBytes(view));
}

}  // namespace

double KvLayerSpec::bytesPerToken() const {
    return kv_heads * (keys.bytesPerRow(key_width) + values.bytesPerRow(value_width));
}

std::size_t KvLayerSpec::bytes(int batch, std::int64_t capacity, std::int64_t longest) const {
    return bytesOf(keys.view(batch, kv_heads, key_width, capacity, longest)) +
           bytesOf(values.view(batch, kv_heads, value_width, capacity, longest));
}

std::vector<KvLayerSpec> kvLayerSpecs(const ModelConfig& config, const KvFormat& format) {
    std::vector<KvLayerSpec> specs;
    for (int layer = 0; layer < config.layers; ++layer) {
        KvLayerSpec spec{config.cachedHeads(), config.keyWidth(layer), config.valueWidth(layer), {}, {}};
        if (format.planned) {
            const KvBits none;
            const KvBits& bits = config.low_rank ? config.low_rank->kv_bits : none;
            spec.keys = bits.keysOf(static_cast<std::size_t>(layer), format.dtype);
            spec.values = bits.valuesOf(static_cast<std::size_t>(layer), format.dtype);
        } else {
            spec.keys = {format.dtype, format.bits, format.group, format.keys, format.recent};
            spec.values = {format.dtype, format.bits, format.group, KvGrouping::Token, format.recent};
        }
        specs.push_back(spec);
    }
    return specs;
}

std::size_t kvBytesPerToken(const ModelConfig& config, const KvFormat& format) {
    double bytes = 0.0;
    for (const KvLayerSpec& spec : kvLayerSpecs(config, format)) {
        bytes += spec.bytesPerToken();
    }
    return static_cast<std::size_t>(std::ceil(bytes));
}

std::size_t kvCacheBytes(const ModelConfig& config, const KvFormat& format, int batch, std::int64_t capacity,
                         std::int64_t longest) {
    std::size_t bytes = 0;
    for (const KvLayerSpec& spec : kvLayerSpecs(config, format)) {
        bytes += spec.bytes(batch, capacity, longest);
    }
    return bytes;
}

double kvRatio(const ModelConfig& config) {
    return config.low_rank
               ? kvRatioOf(config.low_rank->key_ranks, config.low_rank->value_ranks, config.low_rank->kv_bits,
                           config.head_dim * config.low_rank->head_group)
               : 1.0;
}

KvCache::KvCache(Backend& backend, std::vector<KvLayerSpec> specs, int batch, std::int64_t capacity,
                 std::int64_t longest, Sharing sharing)
    : m_specs(std::move(specs)), m_batch(batch), m_capacity(capacity), m_longest(longest) {
    if (batch < 1 || capacity < 1 || longest < 1) {
        failArgument("a KV cache needs at least one sequence and one position, found " +
                     std::to_string(batch) + " and " + std::to_string(std::min(capacity, longest)));
    }
    double per_token = 0.0;
    for (const KvLayerSpec& spec : m_specs) {
        per_token += spec.bytesPerToken() * batch;
    }
    // Exact rows are at most four times as many bytes again as f16, so a factor of 64 leaves room for them.
    if (per_token * static_cast<double>(capacity) >
        static_cast<double>(std::numeric_limits<std::int64_t>::max()) / 64) {
        throw Error(ErrorCode::OutOfMemory,
                    "a KV cache of " + std::to_string(capacity) + " positions is beyond any memory");
    }
    if (sharing == Sharing::OneLayer) {
        shareSides(backend);
        return;
    }
    for (const KvLayerSpec& spec : m_specs) {
        m_layers.push_back({makeSide(backend, spec.keys, spec.kv_heads, spec.key_width),
                            makeSide(backend, spec.values, spec.kv_heads, spec.value_width)});
    }
}

KvCache::Side KvCache::makeSide(Backend& backend, const KvSideFormat& format, int heads, int width) {
    Side side;
    KvView& view = side.view;
    view = format.view(m_batch, heads, width, m_capacity, m_longest);
    const auto allocate = [&](std::int64_t bytes, std::shared_ptr<Buffer>& buffer) -> void* {
        if (bytes == 0) {
            return nullptr;
        }
        buffer = backend.allocate(static_cast<std::size_t>(bytes));
        m_bytes += buffer->bytes();
        return buffer->data();
    };
    view.data = allocate(kvDataBytes(view), side.data);
    view.scales = allocate(kvScaleBytes(view), side.scales);
    view.exact = allocate(kvExactBytes(view), side.exact);
    return side;
}

// Keys have one place and values another, each as large as the layer that needs most.
void KvCache::shareSides(Backend& backend) {
    const auto views = [this](bool keys) {
        std::vector<KvView> result;
        for (const KvLayerSpec& spec : m_specs) {
            result.push_back((keys ? spec.keys : spec.values)
                                 .view(m_batch, spec.kv_heads, keys ? spec.key_width : spec.value_width,
                                       m_capacity, m_longest));
        }
        return result;
    };
    m_layers.resize(m_specs.size());
    for (const bool keys : {true, false}) {
        const std::vector<KvView> all = views(keys);
        const auto allocate = [&](auto bytesOfView) -> std::shared_ptr<Buffer> {
            std::int64_t most = 0;
            for (const KvView& view : all) {
                most = std::max(most, bytesOfView(view));
            }
            if (most == 0) {
                return nullptr;
            }
            auto buffer = backend.allocate(static_cast<std::size_t>(most));
            m_bytes += buffer->bytes();
            return buffer;
        };
        const Side shared{{}, allocate(kvDataBytes), allocate(kvScaleBytes), allocate(kvExactBytes)};
        for (std::size_t layer = 0; layer < all.size(); ++layer) {
            Side& side = keys ? m_layers[layer].keys : m_layers[layer].values;
            side = shared;
            side.view = all[layer];
            side.view.data = kvDataBytes(side.view) > 0 ? shared.data->data() : nullptr;
            side.view.scales = kvScaleBytes(side.view) > 0 ? shared.scales->data() : nullptr;
            side.view.exact = kvExactBytes(side.view) > 0 ? shared.exact->data() : nullptr;
        }
    }
}

template <typename Visit>
void KvCache::forEachRing(Visit visit) const {
    for (const Layer& layer : m_layers) {
        for (const Side* side : {&layer.keys, &layer.values}) {
            if (side->view.exact_capacity > 0) {
                visit(side->view);
            }
        }
    }
}

void KvCache::prepare(std::int64_t count) {
    if (count < 0 || count > m_capacity - m_length) {
        failArgument("the KV cache is full: " + std::to_string(m_length) + " + " + std::to_string(count) +
                     " positions do not fit in " + std::to_string(m_capacity));
    }
    forEachRing([&](const KvView& view) {
        if (view.exact_capacity < kvRingRows(view, count)) {
            failArgument("a call of " + std::to_string(count) +
                         " positions is longer than the KV cache keeps exact rows for, " +
                         std::to_string(m_longest));
        }
    });
    m_appended = std::max(m_appended, m_length + count);
}

void KvCache::advance(std::int64_t count) {
    prepare(count);
    m_length += count;
}

void KvCache::truncate(std::int64_t length) {
    if (length < 0 || length > m_length) {
        failArgument("a KV cache of " + std::to_string(m_length) + " positions cannot be cut to " +
                     std::to_string(length));
    }
    forEachRing([&](const KvView& view) {
        // Rows older than a whole ring were overwritten.
        const std::int64_t oldest = m_appended - view.exact_capacity;
        // A group of positions is coded anew once it is complete again, from its exact rows.
        const std::int64_t needed = std::min(kvStoredEnd(view, length), length / kvSpan(view) * kvSpan(view));
        if (length > 0 && needed < length && needed < oldest) {
            failArgument("a quantised KV cache that was filled to " + std::to_string(m_appended) +
                         " positions cannot be cut to " + std::to_string(length) +
                         ": the exact rows from position " + std::to_string(needed) +
                         " on are no longer held; cut it to 0 and fill it again");
        }
    });
    m_length = length;
    if (length == 0) {
        m_appended = 0;
    }
}

}  // namespace eigenscope
