// SPDX-License-Identifier: Apache-2.0
#include "core/model/model.h"

#include "core/base/fail.h"
#include "core/model/family.h"
#include "core/model/positions.h"
#include "core/model/weight_reader.h"

#include <array>
#include <set>
#include <utility>

namespace eigenscope {

namespace {

// Where the checkpoint's tensor names begin; the family's usual prefix when none fits, so that the error
// which follows names the usual tensor.
std::string findPrefix(const WeightReader& reader, const ModelConfig& config) {
    const Family& family = familyOf(config);
    ModelConfig candidate = config;
    for (std::string_view prefix : family.prefixes) {
        candidate.tensor_prefix = prefix;
        if (reader.has(family.names(candidate).token_embedding + ".weight")) {
            return candidate.tensor_prefix;
        }
    }
    return std::string(family.prefixes.front());
}

// The three projections of a layer, cut from one tensor when they are fused.
void readProjections(WeightReader& reader, const ModelConfig& config, const LayerTensorNames& names,
                     AttentionWeights& attention) {
    const std::int64_t hidden = config.hidden_size;
    const std::int64_t query_rows = std::int64_t{config.query_heads} * attention.query_width;
    const std::int64_t key_rows = std::int64_t{config.cachedHeads()} * attention.key_width;
    const std::int64_t value_rows = std::int64_t{config.cachedHeads()} * attention.value_width;
    // A basis with a mean gives a converted projection a bias that the original has not.
    const bool optional_bias = config.low_rank.has_value() || config.optional_biases;
    if (!names.fused_qkv) {
        attention.query = reader.linear(names.query, query_rows, hidden, config.qkv_bias, optional_bias);
        attention.key = reader.linear(names.key, key_rows, hidden, config.qkv_bias, optional_bias);
        attention.value = reader.linear(names.value, value_rows, hidden, config.qkv_bias, optional_bias);
        return;
    }
    const Linear fused = reader.linear(names.query, query_rows + key_rows + value_rows, hidden,
                                       config.qkv_bias, optional_bias);
    std::int64_t begin = 0;
    for (auto [part, rows] : {std::pair{&attention.query, query_rows}, std::pair{&attention.key, key_rows},
                              std::pair{&attention.value, value_rows}}) {
        part->weight = fused.weight.rows(begin, rows);
        if (!fused.bias.empty()) {
            part->bias = fused.bias.rows(begin, rows);
        }
        begin += rows;
    }
}

AttentionWeights readAttention(WeightReader& reader, const ModelConfig& config, const LayerTensorNames& names,
                               int layer) {
    AttentionWeights attention;
    attention.query_width = config.queryWidth(layer);
    attention.key_width = config.keyWidth(layer);
    attention.value_width = config.valueWidth(layer);
    readProjections(reader, config, names, attention);
    attention.output = reader.linear(
        names.output, config.hidden_size, std::int64_t{config.query_heads} * attention.value_width,
        config.output_bias, config.low_rank.has_value() || config.optional_biases);
    if (config.qk_norm) {
        attention.query_norm =
            reader.norm(names.query_norm, std::int64_t{config.query_heads} * config.head_dim,
                        config.norm_affine, config.norm_bias, config.optional_biases);
        attention.key_norm = reader.norm(names.key_norm, std::int64_t{config.kv_heads} * config.head_dim,
                                         config.norm_affine, config.norm_bias, config.optional_biases);
    }
    if (config.rebuildsKeys()) {
        const std::int64_t rows = std::int64_t{config.kv_heads} * config.head_dim;
        attention.lift_basis =
            reader.f32(names.key_lift + ".weight", std::array{rows, std::int64_t{attention.key_width}},
                       {config.kv_heads, config.head_dim, attention.key_width});
        if (reader.has(names.key_lift + ".bias")) {
            attention.lift_mean =
                reader.f32(names.key_lift + ".bias", std::array{rows}, {config.kv_heads, config.head_dim});
        }
    }
    return attention;
}

LayerWeights readLayer(WeightReader& reader, const ModelConfig& config, int layer) {
    const LayerTensorNames names = familyOf(config).layerNames(config, layer);
    const std::int64_t hidden = config.hidden_size, intermediate = config.intermediate_size;
    LayerWeights weights;
    const bool optional = config.optional_biases;
    weights.attention_norm =
        reader.norm(names.attention_norm, hidden, config.norm_affine, config.norm_bias, optional);
    weights.mlp_norm = reader.norm(names.mlp_norm, hidden, config.norm_affine, config.norm_bias, optional);
    weights.attention = readAttention(reader, config, names, layer);
    if (config.gated_mlp) {
        weights.gate = reader.linear(names.gate, intermediate, hidden, config.mlp_bias, optional);
    }
    weights.up = reader.linear(names.up, intermediate, hidden, config.mlp_bias, optional);
    weights.down = reader.linear(names.down, hidden, intermediate, config.mlp_bias, optional);
    return weights;
}

void readPositions(WeightReader& reader, const ModelTensorNames& names, Model& model) {
    const ModelConfig& config = model.config;
    switch (config.position) {
        case PositionKind::Rotary: {
            std::int64_t positions = config.max_positions;
            if (rotationDependsOnLength(config, positions)) {
                positions = static_cast<std::int64_t>(config.rope_scaling.original_positions);
            }
            RotaryNumbers numbers = rotaryNumbers(rotaryFrequencies(config, positions), positions);
            const Shape shape{positions, config.head_dim / 2};
            model.rotary_cos = reader.table(std::move(numbers.cos), shape);
            model.rotary_sin = reader.table(std::move(numbers.sin), shape);
            break;
        }
        case PositionKind::Learned:
            model.position_embedding = reader.matrix(
                names.position_embedding + ".weight",
                std::int64_t{config.max_positions} + config.position_offset, config.hidden_size);
            break;
        case PositionKind::Alibi:
            model.alibi_slopes =
                reader.table(alibiSlopes(config.query_heads, config.alibi_bias_max), {config.query_heads});
            break;
    }
}

// Calls visit(tensor) for every tensor of the model, empty ones included.
template <typename Visit>
void forEachTensor(const Model& model, Visit visit) {
    const auto linear = [&](const Linear& l) { visit(l.weight), visit(l.bias); };
    const auto norm = [&](const Norm& n) { visit(n.weight), visit(n.bias); };
    for (const Tensor* tensor : {&model.token_embedding, &model.position_embedding, &model.rotary_cos,
                                 &model.rotary_sin, &model.alibi_slopes}) {
        visit(*tensor);
    }
    for (const LayerWeights& layer : model.layers) {
        norm(layer.attention_norm), norm(layer.mlp_norm);
        const AttentionWeights& attention = layer.attention;
        for (const Linear* l : {&attention.query, &attention.key, &attention.value, &attention.output,
                                &layer.gate, &layer.up, &layer.down}) {
            linear(*l);
        }
        visit(attention.lift_basis), visit(attention.lift_mean);
        norm(attention.query_norm), norm(attention.key_norm);
    }
    linear(model.project_in), linear(model.project_out);
    norm(model.final_norm);
    linear(model.output_head);
}

}  // namespace

std::int64_t Model::weightBytes() const {
    std::set<std::pair<const void*, std::size_t>> ranges;
    std::int64_t total = 0;
    forEachTensor(*this, [&](const Tensor& tensor) {
        if (!tensor.empty() && ranges.emplace(tensor.data(), tensor.bytes()).second) {
            total += static_cast<std::int64_t>(tensor.bytes());
        }
    });
    return total;
}

std::shared_ptr<const Model> loadModel(JobContext& job, Backend& backend, const Checkpoint& checkpoint) {
    auto model = std::make_shared<Model>();
    ModelConfig& config = model->config;
    config = readModelConfig(checkpoint.config(), checkpoint.configFile());
    checkpoint.prepareBytes();
    WeightReader reader(backend, checkpoint);
    config.tensor_prefix = findPrefix(reader, config);
    const ModelTensorNames names = familyOf(config).names(config);

    model->token_embedding =
        reader.matrix(names.token_embedding + ".weight", config.vocab_size, config.embedding_size);
    if (config.projectsEmbeddings()) {
        model->project_in = reader.linear(names.project_in, config.hidden_size, config.embedding_size, false);
        model->project_out =
            reader.linear(names.project_out, config.embedding_size, config.hidden_size, false);
    }
    for (int layer = 0; layer < config.layers; ++layer) {
        job.checkCancelled();
        job.progress("loading", layer, config.layers);
        model->layers.push_back(readLayer(reader, config, layer));
    }
    if (config.final_norm) {
        model->final_norm = reader.norm(names.final_norm, config.hidden_size, config.norm_affine,
                                        config.norm_bias, config.optional_biases);
    }
    if (config.tied_embeddings) {
        model->output_head.weight = model->token_embedding;
    } else {
        model->output_head =
            reader.linear(names.output_head, config.vocab_size, config.embedding_size, false);
    }
    // Last: by now the tensors' shapes have confirmed the widths that the tables' sizes follow from.
    readPositions(reader, names, *model);
    job.progress("loading", config.layers, config.layers);
    return model;
}

OpenModel openModel(JobContext& job, std::shared_ptr<Backend> backend, const std::filesystem::path& path,
                    LoadFormat format) {
    OpenModel open;
    open.backend = std::move(backend);
    open.checkpoint = openCheckpoint(path, format);
    open.name = open.checkpoint->name();
    // Weights first: an architecture that is not supported is the more useful thing to hear about.
    open.model = loadModel(job, *open.backend, *open.checkpoint);
    open.tokenizer = openTokenizer(*open.checkpoint);
    return open;
}

DType weightDType(const Model& model) { return model.layers.front().attention.query.weight.dtype(); }

Compute automaticCompute(const Backend& backend, const Model& model) {
    const DType dtype = weightDType(model);
    if (dtype == DType::BF16 && backend.supports(Op::Gemm, {.weight = dtype, .compute = Compute::BF16})) {
        return Compute::BF16;
    }
    return Compute::F32;
}

}  // namespace eigenscope
