// SPDX-License-Identifier: Apache-2.0
// A converted model as a checkpoint directory: tensors that did not change are copied byte for byte from the
// original's files, in pieces, the low-rank ones come from the device, a tensor at a time.
#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/base/regular_file.h"
#include "core/checkpoint/safetensors.h"
#include "core/compression/convert.h"
#include "core/model/family.h"

#include <cstdio>
#include <functional>
#include <map>

namespace eigenscope {

namespace {

namespace fs = std::filesystem;

// What belongs to a checkpoint besides configuration and weights.
constexpr std::string_view kCopiedFiles[] = {"tokenizer.model",
                                             "tokenizer.json",
                                             "tokenizer_config.json",
                                             "special_tokens_map.json",
                                             "added_tokens.json",
                                             "vocab.json",
                                             "merges.txt",
                                             "chat_template.jinja",
                                             "chat_template.json",
                                             "generation_config.json",
                                             "LICENSE",
                                             "LICENSE.txt",
                                             "LICENSE.md"};

using Bytes = std::vector<std::byte>;

struct OutputTensor {
    TensorSpec spec;
    const TensorRecord* copied = nullptr;  // else:
    std::function<Bytes(const std::stop_token&)> make;
};

// Which of a layer's projections.
using Pick = std::vector<Linear AttentionWeights::*>;

FileDType fileDType(DType dtype) {
    switch (dtype) {
        case DType::F16:
            return FileDType::F16;
        case DType::BF16:
            return FileDType::BF16;
        case DType::F32:
            break;
    }
    return FileDType::F32;
}

class TensorList {
public:
    TensorList(Backend& backend, const OpenModel& original, const OpenModel& converted)
        : m_backend(backend), m_model(converted.model), m_stream(backend.createStream(0)) {
        for (int layer = 0; layer < converted.model->config.layers; ++layer)
            collectLayer(original.model->config, layer);
        for (const TensorRecord* record : original.checkpoint->tensors())
            place(*record);
        for (const auto& [name, tensors] : m_replacements) {
            if (!tensors.empty())
                failInput(original.checkpoint->directory(),
                          "there is no tensor '" + name + ".weight' to convert");
        }
    }

    // By file of the original.
    std::map<fs::path, std::vector<OutputTensor>>& shards() { return m_shards; }

private:
    Bytes download(const Tensor& tensor) {
        Bytes bytes(tensor.bytes());
        m_backend.download(*m_stream, bytes.data(), tensor.data(), bytes.size());
        return bytes;
    }

    // Tensors one below the other, zeros for those that are not there (biases of a fused projection).
    Bytes concatenate(const std::vector<Tensor>& parts, const std::vector<std::int64_t>& rows, DType dtype) {
        Bytes all;
        for (std::size_t i = 0; i < parts.size(); ++i) {
            if (parts[i].empty()) {
                all.resize(all.size() + static_cast<std::size_t>(rows[i]) * sizeOf(dtype));
                continue;
            }
            const Bytes part = download(parts[i]);
            const std::size_t start = all.size(), count = static_cast<std::size_t>(parts[i].shape().count());
            all.resize(start + count * sizeOf(dtype));
            for (std::size_t k = 0; k < count; ++k)
                storeFromF32(all.data() + start, dtype, static_cast<std::int64_t>(k),
                             loadAsF32(part.data(), parts[i].dtype(), static_cast<std::int64_t>(k)));
        }
        return all;
    }

    // Shapes are known beforehand; the numbers are taken when they are written, since a streamed model holds
    // them no longer than that.
    void addLinear(int layer, const std::string& replaced, const std::string& name, const Pick& pick) {
        const AttentionWeights& form = m_model->layers[static_cast<std::size_t>(layer)].attention;
        const DType dtype = (form.*pick.front()).weight.dtype();
        std::vector<std::int64_t> rows;
        std::int64_t total = 0;
        bool has_bias = false;
        for (const auto part : pick) {
            rows.push_back((form.*part).outputs());
            total += rows.back();
            has_bias = has_bias || !(form.*part).bias.empty();
        }
        const auto make = [this, layer, pick, rows, dtype](Tensor Linear::*which) {
            return [this, layer, pick, rows, dtype, which](const std::stop_token& stop) {
                const LayerLease lease = m_model->layer(layer, stop);
                std::vector<Tensor> tensors;
                for (const auto part : pick)
                    tensors.push_back(lease->attention.*part.*which);
                return concatenate(tensors, rows, dtype);
            };
        };
        std::vector<OutputTensor>& list = m_replacements[replaced];
        const std::int64_t inputs = (form.*pick.front()).inputs();
        list.push_back(
            {{name + ".weight", fileDType(dtype), {total, inputs}}, nullptr, make(&Linear::weight)});
        if (has_bias)
            list.push_back({{name + ".bias", fileDType(dtype), {total}}, nullptr, make(&Linear::bias)});
    }

    void addLift(int layer, const std::string& replaced, const std::string& name) {
        const AttentionWeights& form = m_model->layers[static_cast<std::size_t>(layer)].attention;
        const Shape& shape = form.lift_basis.shape();
        const std::int64_t rows = shape[0] * shape[1];
        const auto make = [this, layer](Tensor AttentionWeights::*which) {
            return [this, layer, which](const std::stop_token& stop) {
                const LayerLease lease = m_model->layer(layer, stop);
                return download(lease->attention.*which);
            };
        };
        std::vector<OutputTensor>& list = m_replacements[replaced];
        list.push_back({{name + ".weight", FileDType::F32, {rows, shape[2]}},
                        nullptr,
                        make(&AttentionWeights::lift_basis)});
        if (!form.lift_mean.empty())
            list.push_back(
                {{name + ".bias", FileDType::F32, {rows}}, nullptr, make(&AttentionWeights::lift_mean)});
    }

    void collectLayer(const ModelConfig& original, int layer) {
        const Family& family = familyOf(original);
        const LayerTensorNames before = family.layerNames(original, layer);
        const LayerTensorNames after = family.layerNames(m_model->config, layer);
        if (after.fused_qkv) {
            addLinear(layer, before.query, after.query,
                      {&AttentionWeights::query, &AttentionWeights::key, &AttentionWeights::value});
        } else {
            if (after.query != before.query)
                addLinear(layer, before.query, after.query, {&AttentionWeights::query});
            addLinear(layer, before.key, after.key, {&AttentionWeights::key});
            addLinear(layer, before.value, after.value, {&AttentionWeights::value});
        }
        if (!after.key_lift.empty())
            addLift(layer, before.key, after.key_lift);
        addLinear(layer, before.output, after.output, {&AttentionWeights::output});
    }

    void place(const TensorRecord& record) {
        const std::size_t dot = record.name.rfind('.');
        const auto found =
            dot == std::string::npos ? m_replacements.end() : m_replacements.find(record.name.substr(0, dot));
        std::vector<OutputTensor>& shard = m_shards[record.file];
        if (found == m_replacements.end()) {
            shard.push_back({{record.name, record.dtype, record.shape}, &record, {}});
            return;
        }
        // The weight's place in the order of files is where its low-rank tensors go; the old bias goes
        // nowhere.
        if (record.name.substr(dot) == ".weight") {
            for (OutputTensor& tensor : found->second)
                shard.push_back(std::move(tensor));
            found->second.clear();
        }
    }

    Backend& m_backend;
    std::shared_ptr<const Model> m_model;  // the converted one
    std::unique_ptr<Stream> m_stream;
    std::map<std::string, std::vector<OutputTensor>, std::less<>> m_replacements;
    std::map<fs::path, std::vector<OutputTensor>> m_shards;
};

std::string shardName(std::size_t index, std::size_t count) {
    if (count == 1)
        return "model.safetensors";
    char text[64];
    std::snprintf(text, sizeof text, "model-%05zu-of-%05zu.safetensors", index + 1, count);
    return text;
}

void writeWeights(JobContext& job, const Checkpoint& original, TensorList& list, const fs::path& folder) {
    auto& shards = list.shards();
    std::int64_t total = 0, done = 0;
    for (const auto& [file, tensors] : shards)
        total += static_cast<std::int64_t>(tensors.size());
    Json weight_map = Json::object();
    std::size_t total_bytes = 0, index = 0;
    for (const auto& [file, tensors] : shards) {
        const std::string name = shardName(index++, shards.size());
        std::vector<TensorSpec> specs;
        for (const OutputTensor& tensor : tensors) {
            specs.push_back(tensor.spec);
            weight_map[tensor.spec.name] = name;
            total_bytes += tensor.spec.bytes();
        }
        SafetensorsWriter writer(folder / name, std::move(specs), {{"format", "pt"}});
        for (const OutputTensor& tensor : tensors) {
            job.checkCancelled();
            job.progress("writing tensors", done++, total);
            if (tensor.copied)
                writer.writePieces(tensor.spec.name, [&](std::uint64_t begin, std::span<std::byte> to) {
                    job.checkCancelled();
                    original.read(*tensor.copied, begin, to);
                });
            else
                writer.write(tensor.spec.name, tensor.make(job.stopToken()));
        }
        writer.commit();
    }
    if (shards.size() > 1) {
        const Json json = {{"metadata", {{"total_size", total_bytes}}}, {"weight_map", weight_map}};
        writeTextFile(folder / "model.safetensors.index.json", json.dump(2) + "\n");
    }
    job.progress("writing tensors", total, total);
}

void copyFiles(const fs::path& from, const fs::path& to) {
    for (std::string_view name : kCopiedFiles) {
        if (!hasRegularFile(from / name))
            continue;
        std::error_code error;
        fs::copy_file(from / name, to / name, error);
        if (error)
            failIo(from / name, "copy to " + to.string(), error.value());
    }
}

}  // namespace

void writeConverted(JobContext& job, const OpenModel& original, const OpenModel& converted,
                    const fs::path& directory) {
    const auto& low_rank = converted.model->config.low_rank;
    if (original.model->config.low_rank || !low_rank ||
        original.model->config.layers != converted.model->config.layers)
        throw Error(ErrorCode::InvalidInput, converted.name + ": is not a conversion of " + original.name);
    AtomicDirectory output(directory);
    Json config = original.checkpoint->config();
    config["eigen_attention"] = toJson(*low_rank);
    output.fill([&] {
        writeTextFile(output.path() / "config.json", config.dump(2) + "\n");
        copyFiles(original.checkpoint->directory(), output.path());
        TensorList list(*converted.backend, original, converted);
        writeWeights(job, *original.checkpoint, list, output.path());
    });
    job.checkCancelled();
    output.commit();
}

}  // namespace eigenscope
