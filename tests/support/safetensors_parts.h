// SPDX-License-Identifier: Apache-2.0
// A safetensors file taken apart, so that a test can change one thing and write it again.
#pragma once

#include "core/checkpoint/safetensors.h"

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

namespace eigenscope::test {

struct SafetensorsParts {
    std::vector<TensorSpec> specs;
    std::vector<std::vector<std::byte>> bytes;
    std::map<std::string, std::string> metadata;

    explicit SafetensorsParts(const std::filesystem::path& path) {
        const SafetensorsFile file(path);
        for (const TensorRecord& tensor : file.tensors()) {
            specs.push_back({tensor.name, tensor.dtype, tensor.shape});
            bytes.emplace_back(tensor.bytes.begin(), tensor.bytes.end());
        }
        metadata = file.metadata();
    }
    std::size_t index(const std::string& name) const {
        for (std::size_t i = 0; i < specs.size(); ++i) {
            if (specs[i].name == name)
                return i;
        }
        throw std::out_of_range(name);
    }
    TensorSpec& spec(const std::string& name) { return specs[index(name)]; }
    template <typename T>
    void set(const std::string& name, std::size_t element, T value) {
        std::memcpy(bytes.at(index(name)).data() + element * sizeof(T), &value, sizeof value);
    }
    void remove(const std::string& name) {
        const auto i = static_cast<std::ptrdiff_t>(index(name));
        specs.erase(specs.begin() + i);
        bytes.erase(bytes.begin() + i);
    }
    void write(const std::filesystem::path& path) const {
        SafetensorsWriter writer(path, specs, metadata);
        for (std::size_t i = 0; i < specs.size(); ++i)
            writer.write(specs[i].name, bytes[i]);
        writer.commit();
    }
};

}  // namespace eigenscope::test
