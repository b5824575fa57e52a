// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/tensor.h"

#include "kernels/api/backend.h"

#include <limits>

namespace eigenscope {

Shape::Shape(std::initializer_list<std::int64_t> list) {
    if (list.size() > static_cast<std::size_t>(kMaxRank))
        throw Error(ErrorCode::InvalidInput, "tensor shape has " + std::to_string(list.size()) +
                                                 " dimensions; at most " + std::to_string(kMaxRank) +
                                                 " are possible");
    for (std::int64_t dim : list)
        dims[static_cast<std::size_t>(rank++)] = dim;
}

std::int64_t Shape::count() const {
    std::int64_t product = 1;
    for (int axis = 0; axis < rank; ++axis)
        product *= (*this)[axis];
    return product;
}

std::string Shape::text() const {
    std::string text = "[";
    for (int axis = 0; axis < rank; ++axis)
        text += (axis ? ", " : "") + std::to_string((*this)[axis]);
    return text + "]";
}

Tensor::Tensor(std::shared_ptr<Buffer> buffer, DType dtype, Shape shape, std::size_t byte_offset)
    : m_buffer(std::move(buffer)), m_dtype(dtype), m_shape(shape), m_offset(byte_offset) {
    if (m_buffer && (m_offset > m_buffer->bytes() || bytes() > m_buffer->bytes() - m_offset))
        throw Error(ErrorCode::InvalidInput,
                    "tensor of shape " + m_shape.text() + " " + std::string(nameOf(m_dtype)) + " at byte " +
                        std::to_string(m_offset) + " does not fit into a buffer of " +
                        std::to_string(m_buffer->bytes()) + " bytes");
}

TensorView Tensor::view() const {
    TensorView view;
    view.data = m_buffer ? static_cast<char*>(m_buffer->data()) + m_offset : nullptr;
    view.dtype = m_dtype;
    view.shape = m_shape;
    return view;
}

Tensor Tensor::rows(std::int64_t begin, std::int64_t count) const {
    if (m_shape.rank < 1 || begin < 0 || count < 0 || begin > m_shape[0] || count > m_shape[0] - begin)
        throw Error(ErrorCode::InvalidInput, std::to_string(count) + " rows from " + std::to_string(begin) +
                                                 " on of a tensor of shape " + m_shape.text());
    Shape shape = m_shape;
    shape.dims[0] = 1;
    const std::size_t row_bytes = static_cast<std::size_t>(shape.count()) * sizeOf(m_dtype);
    shape.dims[0] = count;
    return Tensor(m_buffer, m_dtype, shape, m_offset + static_cast<std::size_t>(begin) * row_bytes);
}

Tensor makeTensor(Backend& backend, DType dtype, Shape shape) {
    // Checked here because an overflowing product would allocate too little instead of failing.
    std::size_t bytes = sizeOf(dtype);
    for (int axis = 0; axis < shape.rank; ++axis) {
        const std::int64_t dim = shape[axis];
        if (dim < 0)
            throw Error(ErrorCode::InvalidInput,
                        "tensor shape " + shape.text() + " has a negative dimension");
        if (dim > 0 && bytes > static_cast<std::size_t>(std::numeric_limits<std::int64_t>::max() / dim))
            throw Error(ErrorCode::OutOfMemory, "tensor of shape " + shape.text() + " " +
                                                    std::string(nameOf(dtype)) +
                                                    " is larger than any address space");
        bytes *= static_cast<std::size_t>(dim);
    }
    return Tensor(backend.allocate(bytes), dtype, shape);
}

}  // namespace eigenscope
