// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/emulation/device_memory.h"

#include "kernels/api/error.h"

#include <sys/mman.h>

#include <new>
#include <stdexcept>
#include <string>

namespace eigenscope::emulation {

namespace {

constexpr std::size_t kAlignment = 256;

}  // namespace

class DeviceMemory::Block final : public Buffer {
public:
    Block(std::shared_ptr<DeviceMemory> memory, std::size_t offset, std::size_t bytes)
        : m_memory(std::move(memory)), m_offset(offset), m_bytes(bytes) {}
    ~Block() override {
        const auto block = m_memory->m_blocks.find(m_offset);
        m_memory->m_used -= block->second;
        m_memory->m_blocks.erase(block);
    }
    void* data() const override { return m_memory->m_begin + m_offset; }
    std::size_t bytes() const override { return m_bytes; }

private:
    std::shared_ptr<DeviceMemory> m_memory;
    std::size_t m_offset, m_bytes;
};

DeviceMemory::DeviceMemory(std::size_t bytes) : m_bytes(bytes) {
    void* memory = mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED)
        throw std::bad_alloc();
    m_begin = static_cast<std::byte*>(memory);
}

DeviceMemory::~DeviceMemory() { munmap(m_begin, m_bytes); }

std::shared_ptr<Buffer> DeviceMemory::allocate(std::size_t bytes) {
    const std::size_t size =
        (bytes + kAlignment) / kAlignment * kAlignment;  // at least one, for an address of its own
    std::size_t offset = 0;
    for (const auto& [begin, length] : m_blocks) {
        if (begin - offset >= size)
            break;
        offset = begin + length;
    }
    if (offset + size > m_bytes)
        throw Error(ErrorCode::OutOfMemory,
                    "emulated device memory: cannot allocate " + std::to_string(bytes) + " bytes");
    m_blocks.emplace(offset, size);
    m_used += size;
    return std::make_shared<Block>(shared_from_this(), offset, bytes);
}

void DeviceMemory::protect(bool open) {
    if (mprotect(m_begin, m_bytes, open ? PROT_READ | PROT_WRITE : PROT_NONE) != 0)
        throw std::runtime_error("mprotect failed");
}

DeviceMemory::Access::Access(DeviceMemory& memory) : m_memory(memory) {
    if (m_memory.m_open++ == 0)
        m_memory.protect(true);
}

DeviceMemory::Access::~Access() {
    if (--m_memory.m_open == 0)
        m_memory.protect(false);
}

}  // namespace eigenscope::emulation
