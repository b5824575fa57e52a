// SPDX-License-Identifier: Apache-2.0
// From a checkpoint's records to tensors on the device, with every shape and dtype checked: matrices keep
// their dtype and, where the device can, their place in the mapped file; vectors become f32. Tensors can also
// be only described: all is checked, and nothing read. One thread.
#pragma once

#include "core/checkpoint/checkpoint.h"
#include "core/model/model.h"
#include "kernels/api/backend.h"

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

namespace eigenscope {

// Bytes of a tensor and what keeps them alive.
struct TensorBytes {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
};
using FetchBytes = std::function<TensorBytes(const TensorRecord&)>;

// Shape and dtype without data: data() is null.
Tensor describedTensor(DType dtype, Shape shape);

class WeightReader {
public:
    // Bytes are those of the mapped file, which are prepared.
    WeightReader(Backend& backend, const Checkpoint& checkpoint);
    // Bytes are what `fetch` brings; without one, tensors are described.
    WeightReader(Backend& backend, const Checkpoint& checkpoint, FetchBytes fetch)
        : m_backend(backend), m_checkpoint(checkpoint), m_fetch(std::move(fetch)) {}

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
    // Rows [begin, begin + count) of a tensor that was read here.
    Tensor rows(const Tensor& tensor, std::int64_t begin, std::int64_t count) const;

    // Bytes of the tensors so far as they are in the files, each rounded up to kPartAlignment.
    static constexpr std::size_t kPartAlignment = 64;
    std::size_t readBytes() const { return m_read; }
    void count(std::int64_t elements, DType dtype);

private:
    const TensorRecord& record(const std::string& name, std::span<const std::int64_t> shape);
    Backend& m_backend;
    const Checkpoint& m_checkpoint;
    FetchBytes m_fetch;
    std::size_t m_read = 0;
};

}  // namespace eigenscope
