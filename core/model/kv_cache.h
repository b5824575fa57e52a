// SPDX-License-Identifier: Apache-2.0
// The preallocated cache of keys and values. Its layout is data: dense and low-rank caches differ in their
// specs only. One thread at a time.
#pragma once

#include "core/model/model_config.h"
#include "kernels/api/backend.h"

#include <vector>

namespace eigenscope {

struct KvLayerSpec {
    int kv_heads = 0, key_width = 0, value_width = 0;
    DType format = DType::F32;
    std::size_t bytesPerToken() const;  // of one sequence
};
std::vector<KvLayerSpec> kvLayerSpecs(const ModelConfig& config, DType format);
std::size_t kvBytesPerToken(const ModelConfig& config, DType format);
// Converted bytes / original bytes at the same format.
double kvRatio(const ModelConfig& config);

class KvCache {
public:
    KvCache(Backend& backend, std::vector<KvLayerSpec> specs, int batch, std::int64_t capacity);

    int batch() const { return m_batch; }
    std::int64_t length() const {
        return m_length;
    }  // positions filled, the same for every sequence of the batch
    std::int64_t capacity() const { return m_capacity; }
    void advance(std::int64_t count);    // after all layers have appended
    void truncate(std::int64_t length);  // forget the tail; length <= length()
    KvView keys(int layer) const;
    KvView values(int layer) const;
    std::size_t bytes() const { return m_bytes; }  // allocated
    const std::vector<KvLayerSpec>& specs() const { return m_specs; }

private:
    std::vector<KvLayerSpec> m_specs;
    std::vector<Tensor> m_keys, m_values;
    int m_batch;
    std::int64_t m_length = 0, m_capacity;
    std::size_t m_bytes = 0;
};

}  // namespace eigenscope
