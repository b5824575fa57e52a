// SPDX-License-Identifier: Apache-2.0
// From a checkpoint's records to tensors on the device, with every shape and dtype checked: matrices keep
// their dtype and, where the device can, their place in the mapped file; vectors become f32. One thread.
#pragma once

#include "core/checkpoint/checkpoint.h"
#include "core/model/model.h"
#include "kernels/api/backend.h"

#include <cstdint>
#include <span>
#include <string>

namespace eigenscope {

class WeightReader {
public:
    WeightReader(Backend& backend, const Checkpoint& checkpoint)
        : m_backend(backend), m_checkpoint(checkpoint) {}

    bool has(const std::string& name) const { return m_checkpoint.find(name) != nullptr; }
    // All throw InvalidInput naming the file, the tensor, and the shape that was expected and found.
    Tensor matrix(const std::string& name, std::int64_t rows, std::int64_t columns);
    Tensor vector(const std::string& name, std::int64_t size);  // f32
    Tensor f32(const std::string& name, std::span<const std::int64_t> file_shape, Shape shape);
    // "name.weight" and, when wanted or (with `optional_bias`) present, "name.bias".
    Linear linear(const std::string& name, std::int64_t outputs, std::int64_t inputs, bool bias,
                  bool optional_bias = false);
    Norm norm(const std::string& name, std::int64_t width, bool weight, bool bias,
              bool optional_bias = false);
    // f32 numbers made here, such as tables of positions.
    Tensor table(std::vector<float> values, Shape shape);

private:
    const TensorRecord& record(const std::string& name, std::span<const std::int64_t> shape) const;
    Backend& m_backend;
    const Checkpoint& m_checkpoint;
};

}  // namespace eigenscope
