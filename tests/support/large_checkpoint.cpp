// SPDX-License-Identifier: Apache-2.0
#include "tests/support/large_checkpoint.h"

#include "core/base/atomic_output.h"
#include "core/calibration/random_draw.h"
#include "core/checkpoint/safetensors.h"
#include "core/model/expected_tensors.h"

#include <cmath>
#include <string>
#include <vector>

namespace eigenscope::test {

namespace {

std::vector<float> numbersOf(const DummyTensor& tensor, std::uint64_t stream) {
    std::size_t count = 1;
    for (const std::int64_t extent : tensor.shape)
        count *= static_cast<std::size_t>(extent);
    if (tensor.fill != DummyTensor::Fill::Normal)
        return std::vector<float>(count, tensor.fill == DummyTensor::Fill::Ones ? 1.0f : 0.0f);
    std::vector<float> values(count);
    // Uniform in [-1, 1) has variance 1/3.
    const auto scale = static_cast<float>(std::sqrt(3.0 / static_cast<double>(tensor.shape.back())));
    for (std::size_t i = 0; i < count; ++i) {
        const auto bits = static_cast<std::int32_t>(mixBits(stream + i) >> 32);
        values[i] = scale * static_cast<float>(bits) * 0x1p-31f;
    }
    return values;
}

}  // namespace

std::int64_t writeLargeCheckpoint(const std::filesystem::path& directory, const Json& config,
                                  std::int64_t shard_bytes) {
    std::filesystem::create_directories(directory);
    writeTextFile(directory / "config.json", config.dump(2) + "\n");
    const std::vector<DummyTensor> tensors =
        expectedTensors(readModelConfig(config, directory / "config.json"));
    Json weight_map = Json::object();
    std::int64_t total = 0;
    std::uint64_t stream = 0;
    int shard = 0;
    for (std::size_t next = 0; next < tensors.size(); ++shard) {
        std::vector<TensorSpec> specs;
        const std::size_t first = next;
        const std::string name = "model-part-" + std::to_string(shard) + ".safetensors";
        for (std::int64_t bytes = 0; next < tensors.size() && bytes < shard_bytes; ++next) {
            specs.push_back({tensors[next].name, FileDType::F32, tensors[next].shape});
            bytes += static_cast<std::int64_t>(specs.back().bytes());
            total += static_cast<std::int64_t>(specs.back().bytes());
            weight_map[tensors[next].name] = name;
        }
        SafetensorsWriter writer(directory / name, specs, {{"format", "pt"}});
        for (std::size_t i = first; i < next; ++i) {
            const std::vector<float> values = numbersOf(tensors[i], stream);
            stream += values.size();
            writer.write(tensors[i].name, std::as_bytes(std::span(values)));
        }
        writer.commit();
    }
    writeTextFile(directory / "model.safetensors.index.json",
                  Json{{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}}.dump() + "\n");
    return total;
}

}  // namespace eigenscope::test
