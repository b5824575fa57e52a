// SPDX-License-Identifier: Apache-2.0
// From a checkpoint's records to tensors on the device, with every shape and dtype checked: matrices keep
// their dtype, vectors become f32; where they go is the place's business. Tensors can also be only described:
// all is checked, and nothing read. One thread.
#pragma once

#include "core/checkpoint/checkpoint.h"
#include "core/model/model.h"
#include "core/model/weight_place.h"

#include <cstdint>
#include <span>
#include <string>

namespace eigenscope {

// Shape and dtype without data: data() is null.
Tensor describedTensor(DType dtype, Shape shape);

class WeightReader {
public:
    // Without a place, tensors are described.
    WeightReader(const Checkpoint& checkpoint, WeightPlace* place)
        : m_checkpoint(checkpoint), m_place(place) {}

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
    // Rows [begin, begin + count) of a tensor that was read here.
    Tensor rows(const Tensor& tensor, std::int64_t begin, std::int64_t count) const;

    // Memory that a PartPlace needs for the tensors so far.
    std::size_t placedBytes() const { return m_placed; }
    void count(std::int64_t elements, DType dtype);

private:
    const TensorRecord& record(const std::string& name, std::span<const std::int64_t> shape);
    const Checkpoint& m_checkpoint;
    WeightPlace* m_place;
    std::size_t m_placed = 0;
};

}  // namespace eigenscope
