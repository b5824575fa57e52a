// SPDX-License-Identifier: Apache-2.0
#include "core/model/part_memory.h"

#include <utility>

namespace eigenscope {

class PartMemory::Lent final : public Buffer {
public:
    Lent(std::shared_ptr<PartMemory> memory, int end, std::size_t bytes)
        : m_memory(std::move(memory)), m_end(end), m_bytes(bytes) {}
    ~Lent() override {
        const std::lock_guard lock(m_memory->m_mutex);
        m_memory->m_lent[m_end] = 0;
    }
    void* data() const override {
        const Buffer& all = *m_memory->m_memory;
        return static_cast<std::byte*>(all.data()) + (m_end == 0 ? 0 : all.bytes() - m_bytes);
    }
    std::size_t bytes() const override { return m_bytes; }

private:
    std::shared_ptr<PartMemory> m_memory;
    int m_end;
    std::size_t m_bytes;
};

PartMemory::PartMemory(Backend& backend, std::size_t bytes) : m_memory(backend.allocate(bytes)) {}

std::shared_ptr<Buffer> PartMemory::take(std::size_t bytes) {
    const std::lock_guard lock(m_mutex);
    for (const int end : {0, 1}) {
        const std::size_t other = m_lent[1 - end];
        if (m_lent[end] == 0 && bytes <= m_memory->bytes() - other) {
            auto lent = std::make_shared<Lent>(shared_from_this(), end, bytes);
            m_lent[end] = bytes;
            return lent;
        }
    }
    return nullptr;
}

}  // namespace eigenscope
