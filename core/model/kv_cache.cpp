// SPDX-License-Identifier: Apache-2.0
#include "core/model/kv_cache.h"

#include <limits>
#include <string>

namespace eigenscope {

std::size_t KvLayerSpec::bytesPerToken() const {
    return static_cast<std::size_t>(kv_heads) *
           (static_cast<std::size_t>(key_width) + static_cast<std::size_t>(value_width)) * sizeOf(format);
}

std::vector<KvLayerSpec> kvLayerSpecs(const ModelConfig& config, DType format) {
    std::vector<KvLayerSpec> specs;
    for (int layer = 0; layer < config.layers; ++layer) {
        specs.push_back({config.cachedHeads(), config.keyWidth(layer), config.valueWidth(layer), format});
    }
    return specs;
}

std::size_t kvBytesPerToken(const ModelConfig& config, DType format) {
    std::size_t bytes = 0;
    for (const KvLayerSpec& spec : kvLayerSpecs(config, format)) {
        bytes += spec.bytesPerToken();
    }
    return bytes;
}

double kvRatio(const ModelConfig& config) {
    ModelConfig original = config;
    original.low_rank.reset();
    return static_cast<double>(kvBytesPerToken(config, DType::F32)) /
           static_cast<double>(kvBytesPerToken(original, DType::F32));
}

KvCache::KvCache(Backend& backend, std::vector<KvLayerSpec> specs, int batch, std::int64_t capacity)
    : m_specs(std::move(specs)), m_batch(batch), m_capacity(capacity) {
    if (batch < 1 || capacity < 1) {
        throw Error(ErrorCode::InvalidInput,
                    "a KV cache needs at least one sequence and one position, found " +
                        std::to_string(batch) + " and " + std::to_string(capacity));
    }
    std::size_t per_token = 0;
    for (const KvLayerSpec& spec : m_specs) {
        per_token += spec.bytesPerToken();
    }
    if (per_token * static_cast<std::size_t>(batch) >
        static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max()) /
            static_cast<std::size_t>(capacity)) {
        throw Error(ErrorCode::OutOfMemory,
                    "a KV cache of " + std::to_string(capacity) + " positions is beyond any memory");
    }
    for (const KvLayerSpec& spec : m_specs) {
        m_keys.push_back(makeTensor(backend, spec.format, {batch, spec.kv_heads, capacity, spec.key_width}));
        m_values.push_back(
            makeTensor(backend, spec.format, {batch, spec.kv_heads, capacity, spec.value_width}));
        m_bytes += m_keys.back().bytes() + m_values.back().bytes();
    }
}

void KvCache::advance(std::int64_t count) {
    if (count < 0 || count > m_capacity - m_length) {
        throw Error(ErrorCode::InvalidInput, "the KV cache is full: " + std::to_string(m_length) + " + " +
                                                 std::to_string(count) + " positions do not fit in " +
                                                 std::to_string(m_capacity));
    }
    m_length += count;
}

void KvCache::truncate(std::int64_t length) {
    if (length < 0 || length > m_length) {
        throw Error(ErrorCode::InvalidInput, "a KV cache of " + std::to_string(m_length) +
                                                 " positions cannot be cut to " + std::to_string(length));
    }
    m_length = length;
}

namespace {

KvView viewOf(const Tensor& tensor) {
    const Shape& shape = tensor.shape();
    return {tensor.data(),
            tensor.dtype(),
            static_cast<std::int32_t>(shape[0]),
            static_cast<std::int32_t>(shape[1]),
            static_cast<std::int32_t>(shape[3]),
            shape[2]};
}

}  // namespace

KvView KvCache::keys(int layer) const { return viewOf(m_keys.at(static_cast<std::size_t>(layer))); }

KvView KvCache::values(int layer) const { return viewOf(m_values.at(static_cast<std::size_t>(layer))); }

}  // namespace eigenscope
