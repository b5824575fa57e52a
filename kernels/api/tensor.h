// SPDX-License-Identifier: Apache-2.0
// Memory on a device and typed, contiguous, row-major arrays in it. A Buffer owns bytes; a Tensor shares a
// Buffer; a TensorView borrows. Copying a Tensor copies the handle, never the data. Handles may be used from
// any thread; the bytes behind them follow the usual rule (many readers or one writer).
#pragma once

#include "kernels/api/dtype.h"

#include <array>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

namespace eigenscope {

// Bytes owned by a backend (or mapped from a file and kept alive by it). data() is a device address; it may
// be dereferenced on the host only if the backend's DeviceInfo::host_accessible is true.
class Buffer {
public:
    virtual ~Buffer() = default;
    virtual void* data() const = 0;
    virtual std::size_t bytes() const = 0;
};

struct Shape {
    static constexpr int kMaxRank = 4;
    std::array<std::int64_t, kMaxRank> dims{};
    int rank = 0;

    Shape() = default;
    Shape(std::initializer_list<std::int64_t> list);
    std::int64_t operator[](int axis) const { return dims[static_cast<std::size_t>(axis)]; }
    std::int64_t count() const;  // product of the dimensions, 1 for rank 0
    bool operator==(const Shape&) const = default;
    std::string text() const;  // "[3, 128]"
};

struct TensorView {
    void* data = nullptr;
    DType dtype = DType::F32;
    Shape shape;

    bool empty() const { return data == nullptr; }
    std::size_t bytes() const { return static_cast<std::size_t>(shape.count()) * sizeOf(dtype); }
    float* f32() const { return static_cast<float*>(data); }
};

class Tensor {
public:
    Tensor() = default;
    Tensor(std::shared_ptr<Buffer> buffer, DType dtype, Shape shape, std::size_t byte_offset = 0);

    bool empty() const { return !m_buffer; }
    DType dtype() const { return m_dtype; }
    const Shape& shape() const { return m_shape; }
    std::size_t bytes() const { return view().bytes(); }
    TensorView view() const;
    void* data() const { return view().data; }
    float* f32() const { return view().f32(); }
    // Rows [begin, begin + count) along axis 0, sharing the buffer.
    Tensor rows(std::int64_t begin, std::int64_t count) const;
    const std::shared_ptr<Buffer>& buffer() const { return m_buffer; }

private:
    std::shared_ptr<Buffer> m_buffer;
    DType m_dtype = DType::F32;
    Shape m_shape;
    std::size_t m_offset = 0;
};

}  // namespace eigenscope
