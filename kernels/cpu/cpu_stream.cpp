// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/cpu_stream.h"

#include <string>

namespace eigenscope::cpu {

void Arena::addBlock(std::size_t size) {
    void* p = ::operator new (size, std::align_val_t{kAlignment}, std::nothrow);
    if (!p)
        throw Error(ErrorCode::OutOfMemory,
                    "scratch memory: cannot allocate " + std::to_string(size) + " bytes of host memory");
    m_blocks.push_back({AlignedBytes(static_cast<std::byte*>(p)), size});
    m_total += size;
}

void Arena::reset() {
    m_used = 0;
    if (m_blocks.size() <= 1)
        return;
    const std::size_t total = m_total;
    m_blocks.clear();
    m_total = 0;
    addBlock(total);
}

std::byte* Arena::takeBytes(std::size_t bytes) {
    const std::size_t rounded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (m_blocks.empty() || m_used + rounded > m_blocks.back().size) {
        addBlock(rounded > (std::size_t{1} << 16) ? rounded : std::size_t{1} << 16);
        m_used = 0;
    }
    std::byte* p = m_blocks.back().data.get() + m_used;
    m_used += rounded;
    return p;
}

}  // namespace eigenscope::cpu
