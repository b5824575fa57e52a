// SPDX-License-Identifier: Apache-2.0
#include "core/model/expected_tensors.h"

#include "core/model/family.h"

namespace eigenscope {

namespace {

class TensorLister {
public:
    explicit TensorLister(const ModelConfig& config) : m_config(config) {}

    void matrix(const std::string& name, std::int64_t rows, std::int64_t columns) {
        m_tensors.push_back({name + ".weight", {rows, columns}, DummyTensor::Fill::Normal});
    }
    void linear(const std::string& name, std::int64_t rows, std::int64_t columns, bool bias) {
        matrix(name, rows, columns);
        if (bias)
            m_tensors.push_back({name + ".bias", {rows}, DummyTensor::Fill::Zeros});
    }
    void norm(const std::string& name, std::int64_t width) {
        if (m_config.norm_affine)
            m_tensors.push_back({name + ".weight", {width}, DummyTensor::Fill::Ones});
        if (m_config.norm_bias)
            m_tensors.push_back({name + ".bias", {width}, DummyTensor::Fill::Zeros});
    }
    void layer(int index);
    std::vector<DummyTensor> take() { return std::move(m_tensors); }

private:
    const ModelConfig& m_config;
    std::vector<DummyTensor> m_tensors;
};

void TensorLister::layer(int index) {
    const ModelConfig& config = m_config;
    const LayerTensorNames names = familyOf(config).layerNames(config, index);
    const std::int64_t hidden = config.hidden_size, intermediate = config.intermediate_size;
    const std::int64_t query = std::int64_t{config.query_heads} * config.queryWidth(index);
    const std::int64_t key = std::int64_t{config.kv_heads} * config.keyWidth(index);
    const std::int64_t value = std::int64_t{config.kv_heads} * config.valueWidth(index);
    norm(names.attention_norm, hidden);
    norm(names.mlp_norm, hidden);
    if (names.fused_qkv) {
        linear(names.query, query + key + value, hidden, config.qkv_bias);
    } else {
        linear(names.query, query, hidden, config.qkv_bias);
        linear(names.key, key, hidden, config.qkv_bias);
        linear(names.value, value, hidden, config.qkv_bias);
    }
    if (config.qk_norm) {
        norm(names.query_norm, query);
        norm(names.key_norm, key);
    }
    if (config.rebuildsKeys())
        matrix(names.key_lift, std::int64_t{config.kv_heads} * config.head_dim, config.keyWidth(index));
    linear(names.output, hidden, std::int64_t{config.query_heads} * config.valueWidth(index),
           config.output_bias);
    if (config.gated_mlp)
        linear(names.gate, intermediate, hidden, config.mlp_bias);
    linear(names.up, intermediate, hidden, config.mlp_bias);
    linear(names.down, hidden, intermediate, config.mlp_bias);
}

}  // namespace

std::vector<DummyTensor> expectedTensors(const ModelConfig& config) {
    const ModelTensorNames names = familyOf(config).names(config);
    TensorLister list(config);
    list.matrix(names.token_embedding, config.vocab_size, config.embedding_size);
    if (!names.position_embedding.empty())
        list.matrix(names.position_embedding, std::int64_t{config.max_positions} + config.position_offset,
                    config.hidden_size);
    if (config.projectsEmbeddings()) {
        list.matrix(names.project_in, config.hidden_size, config.embedding_size);
        list.matrix(names.project_out, config.embedding_size, config.hidden_size);
    }
    for (int layer = 0; layer < config.layers; ++layer)
        list.layer(layer);
    if (config.final_norm)
        list.norm(names.final_norm, config.hidden_size);
    if (!config.tied_embeddings)
        list.matrix(names.output_head, config.vocab_size, config.embedding_size);
    return list.take();
}

}  // namespace eigenscope
