// SPDX-License-Identifier: Apache-2.0
#include "tests/support/random_checkpoint.h"

#include "core/base/atomic_output.h"
#include "core/model/family.h"

#include <cmath>
#include <cstring>
#include <random>

namespace eigenscope::test {

namespace {

// Adds random tensors; a normal number from the generator's bits alone, since the standard's distributions
// differ between libraries.
class TensorMaker {
public:
    TensorMaker(std::uint64_t seed, FileDType dtype) : m_random(seed), m_dtype(dtype) {}

    void matrix(const std::string& name, std::int64_t rows, std::int64_t columns, double gain = 1.0) {
        add(name, {rows, columns}, gain / std::sqrt(static_cast<double>(columns)), 0.0);
    }
    void vector(const std::string& name, std::int64_t size, double mean) { add(name, {size}, 0.1, mean); }
    void linear(const std::string& name, std::int64_t rows, std::int64_t columns, bool bias,
                double gain = 1.0) {
        matrix(name + ".weight", rows, columns, gain);
        if (bias) {
            vector(name + ".bias", rows, 0.0);
        }
    }
    CheckpointTensors take() { return std::move(m_tensors); }

private:
    double uniform() { return (static_cast<double>(m_random() >> 11) + 0.5) * 0x1.0p-53; }
    void add(const std::string& name, std::vector<std::int64_t> shape, double scale, double mean) {
        CheckpointTensor tensor{std::move(shape), {}, m_dtype};
        std::int64_t count = 1;
        for (std::int64_t size : tensor.shape) {
            count *= size;
        }
        for (std::int64_t i = 0; i < count; ++i) {
            const double normal =
                std::sqrt(-2.0 * std::log(uniform())) * std::cos(6.283185307179586 * uniform());
            tensor.values.push_back(static_cast<float>(mean + scale * normal));
        }
        m_tensors[name] = std::move(tensor);
    }

    std::mt19937_64 m_random;
    FileDType m_dtype;
    CheckpointTensors m_tensors;
};

void addNorm(TensorMaker& make, const ModelConfig& config, const std::string& name) {
    if (config.norm_affine) {
        make.vector(name + ".weight", config.hidden_size, 1.0);
    }
    if (config.norm_bias || config.optional_biases) {
        make.vector(name + ".bias", config.hidden_size, 0.0);
    }
}

void addLayer(TensorMaker& make, const ModelConfig& config, int layer) {
    const LayerTensorNames names = familyOf(config).layerNames(config, layer);
    const std::int64_t hidden = config.hidden_size, intermediate = config.intermediate_size;
    const bool qkv_bias = config.qkv_bias || config.optional_biases;
    const bool output_bias = config.output_bias || config.optional_biases;
    const bool mlp_bias = config.mlp_bias || config.optional_biases;
    const std::int64_t query = std::int64_t{config.query_heads} * config.queryWidth(layer);
    const std::int64_t key = std::int64_t{config.kv_heads} * config.keyWidth(layer);
    const std::int64_t value = std::int64_t{config.kv_heads} * config.valueWidth(layer);
    addNorm(make, config, names.attention_norm);
    addNorm(make, config, names.mlp_norm);
    // Queries and keys are large enough for attention to prefer some positions.
    if (names.fused_qkv) {
        make.linear(names.query, query + key + value, hidden, qkv_bias, 1.5);
    } else {
        make.linear(names.query, query, hidden, qkv_bias, 1.8);
        make.linear(names.key, key, hidden, qkv_bias, 1.8);
        make.linear(names.value, value, hidden, qkv_bias);
    }
    if (!names.key_lift.empty()) {
        make.linear(names.key_lift, std::int64_t{config.kv_heads} * config.head_dim, config.keyWidth(layer),
                    true);
    }
    make.linear(names.output, hidden, std::int64_t{config.query_heads} * config.valueWidth(layer),
                output_bias);
    if (config.gated_mlp) {
        make.linear(names.gate, intermediate, hidden, mlp_bias);
    }
    make.linear(names.up, intermediate, hidden, mlp_bias);
    make.linear(names.down, hidden, intermediate, mlp_bias);
}

std::vector<std::byte> bytesOf(const CheckpointTensor& tensor) {
    const DType dtype = engineDType(tensor.dtype).value();
    std::vector<std::byte> bytes(tensor.values.size() * sizeOf(dtype));
    for (std::size_t i = 0; i < tensor.values.size(); ++i) {
        storeFromF32(bytes.data(), dtype, static_cast<std::int64_t>(i), tensor.values[i]);
    }
    return bytes;
}

}  // namespace

Json tinyLlamaConfig() {
    return {{"architectures", {"LlamaForCausalLM"}},
            {"model_type", "llama"},
            {"hidden_size", 32},
            {"intermediate_size", 48},
            {"num_hidden_layers", 2},
            {"num_attention_heads", 4},
            {"num_key_value_heads", 2},
            {"vocab_size", 64},
            {"max_position_embeddings", 64},
            {"rms_norm_eps", 1e-5},
            {"rope_theta", 10000.0},
            {"hidden_act", "silu"},
            {"tie_word_embeddings", false}};
}

Json tinyOptConfig() {
    return {{"architectures", {"OPTForCausalLM"}},
            {"model_type", "opt"},
            {"hidden_size", 32},
            {"ffn_dim", 48},
            {"num_hidden_layers", 2},
            {"num_attention_heads", 4},
            {"vocab_size", 64},
            {"max_position_embeddings", 64},
            {"word_embed_proj_dim", 32},
            {"do_layer_norm_before", true},
            {"activation_function", "relu"}};
}

Json tinyMptConfig() {
    return {{"architectures", {"MptForCausalLM"}},
            {"model_type", "mpt"},
            {"d_model", 32},
            {"n_layers", 2},
            {"n_heads", 4},
            {"expansion_ratio", 2},
            {"vocab_size", 64},
            {"max_seq_len", 64},
            {"no_bias", true},
            {"attn_config", {{"alibi", true}, {"alibi_bias_max", 8}}}};
}

CheckpointTensors randomTensors(const Json& json, std::uint64_t seed, FileDType dtype) {
    const ModelConfig config = readModelConfig(json, "config.json");
    const ModelTensorNames names = familyOf(config).names(config);
    TensorMaker make(seed, dtype);
    // Small tied embeddings: else every token would be its own best successor.
    make.matrix(names.token_embedding + ".weight", config.vocab_size, config.embedding_size,
                config.tied_embeddings ? 1.4 : 5.0);
    if (config.projectsEmbeddings()) {
        make.linear(names.project_in, config.hidden_size, config.embedding_size, false);
        make.linear(names.project_out, config.embedding_size, config.hidden_size, false);
    }
    if (!names.position_embedding.empty()) {
        make.matrix(names.position_embedding + ".weight",
                    std::int64_t{config.max_positions} + config.position_offset, config.hidden_size, 1.4);
    }
    for (int layer = 0; layer < config.layers; ++layer) {
        addLayer(make, config, layer);
    }
    if (config.final_norm) {
        addNorm(make, config, names.final_norm);
    }
    if (!config.tied_embeddings) {
        make.matrix(names.output_head + ".weight", config.vocab_size, config.embedding_size);
    }
    return make.take();
}

void writeCheckpoint(const std::filesystem::path& directory, const Json& config,
                     const CheckpointTensors& tensors) {
    std::filesystem::create_directories(directory);
    writeTextFile(directory / "config.json", config.dump(2) + "\n");
    std::vector<TensorSpec> specs;
    for (const auto& [name, tensor] : tensors) {
        specs.push_back({name, tensor.dtype, tensor.shape});
    }
    SafetensorsWriter writer(directory / "model.safetensors", specs, {{"format", "pt"}});
    for (const auto& [name, tensor] : tensors) {
        writer.write(name, bytesOf(tensor));
    }
    writer.commit();
}

void writeRandomCheckpoint(const std::filesystem::path& directory, const Json& config, std::uint64_t seed,
                           FileDType dtype) {
    writeCheckpoint(directory, config, randomTensors(config, seed, dtype));
}

}  // namespace eigenscope::test
