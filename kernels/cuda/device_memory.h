// SPDX-License-Identifier: Apache-2.0
// Memory of the GPU, owned. Any thread; one owner.
#pragma once

#include <cstddef>
#include <utility>

namespace eigenscope::cuda {

// Freed when it goes (which waits for the GPU); empty by default.
class DeviceMemory {
public:
    DeviceMemory() = default;
    // Throws Error OutOfMemory with what was asked for and what is free.
    explicit DeviceMemory(std::size_t bytes);
    DeviceMemory(DeviceMemory&& other) noexcept { *this = std::move(other); }
    DeviceMemory& operator=(DeviceMemory&& other) noexcept;
    ~DeviceMemory();
    void* data() const { return m_data; }
    std::size_t bytes() const { return m_bytes; }

private:
    void* m_data = nullptr;
    std::size_t m_bytes = 0;
};

}  // namespace eigenscope::cuda
