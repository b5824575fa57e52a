// SPDX-License-Identifier: Apache-2.0
// Memory that the host cannot touch, as a GPU's: its pages are closed except while a kernel or a copy runs,
// so that code which takes a device address for a host one ends with a fault instead of working by chance.
// One thread.
#pragma once

#include "kernels/api/tensor.h"

#include <cstddef>
#include <map>
#include <memory>

namespace eigenscope::emulation {

class DeviceMemory : public std::enable_shared_from_this<DeviceMemory> {
public:
    explicit DeviceMemory(std::size_t bytes);  // address space; pages come as they are touched
    ~DeviceMemory();
    DeviceMemory(const DeviceMemory&) = delete;
    DeviceMemory& operator=(const DeviceMemory&) = delete;

    // 256-byte aligned, as cudaMalloc; throws Error OutOfMemory naming the size.
    std::shared_ptr<Buffer> allocate(std::size_t bytes);
    std::size_t bytes() const { return m_bytes; }
    std::size_t used() const { return m_used; }

    // Open while it exists; may be nested.
    class Access {
    public:
        explicit Access(DeviceMemory& memory);
        ~Access();
        Access(const Access&) = delete;
        Access& operator=(const Access&) = delete;

    private:
        DeviceMemory& m_memory;
    };

private:
    class Block;
    void protect(bool open);

    std::byte* m_begin = nullptr;
    std::size_t m_bytes = 0, m_used = 0;
    int m_open = 0;
    std::map<std::size_t, std::size_t> m_blocks;  // offset, size
};

}  // namespace eigenscope::emulation
