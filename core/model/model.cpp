// SPDX-License-Identifier: Apache-2.0
#include "core/model/model.h"

#include "core/model/positions.h"
#include "core/model/read_weights.h"
#include "core/model/streamed_weights.h"
#include "core/model/weight_reader.h"

#include <algorithm>
#include <set>
#include <utility>

namespace eigenscope {

namespace {

// Tables that follow from the configuration alone, computed here.
void makePositions(Backend& backend, Model& model) {
    const ModelConfig& config = model.config;
    const auto table = [&](std::vector<float> values, Shape shape) {
        return Tensor(adoptNumbers(backend, std::move(values)), DType::F32, shape);
    };
    switch (config.position) {
        case PositionKind::Rotary: {
            std::int64_t positions = config.max_positions;
            if (rotationDependsOnLength(config, positions)) {
                positions = static_cast<std::int64_t>(config.rope_scaling.original_positions);
            }
            RotaryNumbers numbers = rotaryNumbers(rotaryFrequencies(config, positions), positions);
            const Shape shape{positions, config.head_dim / 2};
            model.rotary_cos = table(std::move(numbers.cos), shape);
            model.rotary_sin = table(std::move(numbers.sin), shape);
            break;
        }
        case PositionKind::Learned:
            break;
        case PositionKind::Alibi:
            model.alibi_slopes =
                table(alibiSlopes(config.query_heads, config.alibi_bias_max), {config.query_heads});
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
        if (tensor.empty()) {
            return;
        }
        // Tensors that are only described lie nowhere; their buffers tell them apart.
        const void* place = tensor.data() != nullptr ? tensor.data() : tensor.buffer().get();
        if (ranges.emplace(place, tensor.bytes()).second) {
            total += static_cast<std::int64_t>(tensor.bytes());
        }
    });
    return total;
}

std::int64_t Model::heldBytes() const {
    return source ? std::max(source->hostBytes(), source->deviceBytes()) : weightBytes();
}

EmbeddingLease Model::embedding(const std::stop_token& stop) const {
    if (source) {
        return source->embedding(stop);
    }
    return std::make_shared<const EmbeddingWeights>(
        EmbeddingWeights{token_embedding, project_in, position_embedding});
}

LayerLease Model::layer(int layer, const std::stop_token& stop) const {
    if (source) {
        return source->layer(layer, stop);
    }
    return LayerLease(std::shared_ptr<void>(), &layers.at(static_cast<std::size_t>(layer)));
}

HeadLease Model::head(const std::stop_token& stop) const {
    if (source) {
        return source->head(stop);
    }
    return std::make_shared<const HeadWeights>(HeadWeights{final_norm, project_out, output_head});
}

namespace {

// Fills in what `reader` gives; `parts`, when wanted, gets the bytes that each part takes.
void readParts(JobContext& job, WeightReader& reader, Model& model, std::vector<std::size_t>* parts) {
    const ModelConfig& config = model.config;
    std::size_t before = 0;
    const auto partDone = [&] {
        if (parts != nullptr) {
            parts->push_back(reader.placedBytes() - before);
            before = reader.placedBytes();
        }
    };
    EmbeddingWeights embedding = readEmbedding(reader, config);
    partDone();
    for (int layer = 0; layer < config.layers; ++layer) {
        job.checkCancelled();
        job.progress("loading", layer, config.layers);
        model.layers.push_back(readLayer(reader, config, layer));
        partDone();
    }
    // A head that is fetched by itself reads tied embeddings again.
    HeadWeights head = readHead(reader, config, &embedding);
    if (config.tied_embeddings && parts != nullptr) {
        reader.count(config.vocab_size * config.embedding_size, embedding.tokens.dtype());
    }
    partDone();
    model.token_embedding = std::move(embedding.tokens);
    model.project_in = std::move(embedding.project_in);
    model.position_embedding = std::move(embedding.positions);
    model.final_norm = std::move(head.norm);
    model.project_out = std::move(head.project_out);
    model.output_head = std::move(head.output);
    job.progress("loading", config.layers, config.layers);
}

}  // namespace

std::shared_ptr<const Model> loadModel(JobContext& job, Backend& backend, const Checkpoint& checkpoint) {
    auto model = std::make_shared<Model>();
    ModelConfig& config = model->config;
    config = readModelConfig(checkpoint.config(), checkpoint.configFile());
    checkpoint.prepareBytes();
    MappedPlace place(backend);
    WeightReader reader(checkpoint, &place);
    config.tensor_prefix = findPrefix(reader, config);
    readParts(job, reader, *model, nullptr);
    // Last: by now the tensors' shapes have confirmed the widths that the tables' sizes follow from.
    makePositions(backend, *model);
    return model;
}

std::shared_ptr<const Model> streamModel(JobContext& job, std::shared_ptr<Backend> backend,
                                         std::shared_ptr<const Checkpoint> checkpoint) {
    auto model = std::make_shared<Model>();
    ModelConfig& config = model->config;
    config = readModelConfig(checkpoint->config(), checkpoint->configFile());
    WeightReader reader(*checkpoint, nullptr);
    config.tensor_prefix = findPrefix(reader, config);
    std::vector<std::size_t> parts;
    readParts(job, reader, *model, &parts);
    makePositions(*backend, *model);
    model->source = std::make_shared<StreamedWeights>(std::move(backend), std::move(checkpoint), config,
                                                      std::move(parts));
    return model;
}

OpenModel openModel(JobContext& job, std::shared_ptr<Backend> backend, const std::filesystem::path& path,
                    LoadFormat format, StreamMode stream) {
    OpenModel open;
    open.backend = std::move(backend);
    open.checkpoint = openCheckpoint(path, format);
    open.name = open.checkpoint->name();
    // Weights first: an architecture that is not supported is the more useful thing to hear about.
    open.model = shouldStream(*open.backend, *open.checkpoint, stream)
                     ? streamModel(job, open.backend, open.checkpoint)
                     : loadModel(job, *open.backend, *open.checkpoint);
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
