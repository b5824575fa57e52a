// SPDX-License-Identifier: Apache-2.0
#include "core/model/weight_reader.h"

#include "core/base/fail.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace eigenscope {

namespace {

std::string shapeText(std::span<const std::int64_t> shape) {
    std::string text = "[";
    for (std::size_t i = 0; i < shape.size(); ++i) {
        text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
    }
    return text + "]";
}

class DescribedBuffer : public Buffer {
public:
    explicit DescribedBuffer(std::size_t bytes) : m_bytes(bytes) {}
    void* data() const override { return nullptr; }
    std::size_t bytes() const override { return m_bytes; }

private:
    std::size_t m_bytes;
};

}  // namespace

Tensor describedTensor(DType dtype, Shape shape) {
    const auto bytes = static_cast<std::size_t>(shape.count()) * sizeOf(dtype);
    return Tensor(std::make_shared<DescribedBuffer>(bytes), dtype, shape);
}

void WeightReader::count(std::int64_t elements, DType dtype) {
    m_placed += PartPlace::aligned(static_cast<std::size_t>(elements) * sizeOf(dtype));
}

Tensor WeightReader::rows(const Tensor& tensor, std::int64_t begin, std::int64_t count) const {
    if (m_place != nullptr)
        return tensor.rows(begin, count);
    Shape shape = tensor.shape();
    shape.dims[0] = count;
    return describedTensor(tensor.dtype(), shape);
}

const TensorRecord& WeightReader::record(const std::string& name, std::span<const std::int64_t> shape) {
    const TensorRecord* found = m_checkpoint.find(name);
    if (found == nullptr) {
        failInput(m_checkpoint.directory(),
                  "tensor " + name + " is missing from the weights, expected shape " + shapeText(shape));
    }
    if (!engineDType(found->dtype)) {
        failInput(found->file, "tensor " + name + ": dtype " + std::string(nameOf(found->dtype)) +
                                   ", expected F32, F16 or BF16");
    }
    if (!std::ranges::equal(found->shape, shape)) {
        failInput(found->file, "tensor " + name + ": expected shape " + shapeText(shape) +
                                   " from config.json, found " + shapeText(found->shape));
    }
    return *found;
}

Tensor WeightReader::matrix(const std::string& name, std::int64_t rows, std::int64_t columns) {
    const TensorRecord& source = record(name, std::array{rows, columns});
    const DType dtype = *engineDType(source.dtype);
    count(source.count(), dtype);
    if (m_place == nullptr) {
        return describedTensor(dtype, {rows, columns});
    }
    return Tensor(m_place->stored(source), dtype, {rows, columns});
}

Tensor WeightReader::f32(const std::string& name, std::span<const std::int64_t> file_shape, Shape shape) {
    const TensorRecord& source = record(name, file_shape);
    const DType dtype = *engineDType(source.dtype);
    count(source.count(), DType::F32);
    if (m_place == nullptr) {
        return describedTensor(DType::F32, shape);
    }
    const TensorBytes found = m_place->bytes(source);
    std::vector<float> values(static_cast<std::size_t>(source.count()));
    std::array<std::byte, sizeof(float)> element{};
    for (std::size_t i = 0; i < values.size(); ++i) {
        std::memcpy(element.data(), found.bytes.data() + i * sizeOf(dtype), sizeOf(dtype));
        values[i] = loadAsF32(element.data(), dtype, 0);
    }
    return Tensor(m_place->made(std::move(values)), DType::F32, shape);
}

Tensor WeightReader::vector(const std::string& name, std::int64_t size) {
    return f32(name, std::array{size}, {size});
}

Linear WeightReader::linear(const std::string& name, std::int64_t outputs, std::int64_t inputs, bool bias,
                            bool optional_bias) {
    Linear result;
    result.weight = matrix(name + ".weight", outputs, inputs);
    if (bias || (optional_bias && has(name + ".bias"))) {
        result.bias = vector(name + ".bias", outputs);
    }
    return result;
}

Norm WeightReader::norm(const std::string& name, std::int64_t width, bool weight, bool bias,
                        bool optional_bias) {
    Norm result;
    if (weight) {
        result.weight = vector(name + ".weight", width);
    }
    if (bias || (optional_bias && has(name + ".bias"))) {
        result.bias = vector(name + ".bias", width);
    }
    return result;
}

}  // namespace eigenscope
