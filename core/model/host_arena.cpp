// SPDX-License-Identifier: Apache-2.0
#include "core/model/host_arena.h"

#include "kernels/api/error.h"

#include <algorithm>
#include <string>
#include <utility>

#include <sys/mman.h>

namespace eigenscope {

namespace {

constexpr std::size_t kAlignment = 64;

}  // namespace

HostArena::HostArena(std::size_t bytes) : m_bytes(std::max(bytes, kAlignment)) {
    void* data = mmap(nullptr, m_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED)
        throw Error(ErrorCode::OutOfMemory,
                    "cannot allocate " + std::to_string(bytes) + " bytes for a layer's weights");
    m_data = static_cast<std::byte*>(data);
}

HostArena::~HostArena() { munmap(m_data, m_bytes); }

std::span<std::byte> HostArena::take(std::size_t bytes) {
    if (bytes > m_bytes - m_used)
        throw Error(ErrorCode::OutOfMemory, "an arena of " + std::to_string(m_bytes) +
                                                " bytes has no room for " + std::to_string(bytes) +
                                                " more than " + std::to_string(m_used));
    const std::span<std::byte> taken(m_data + m_used, bytes);
    m_used = std::min(m_bytes, m_used + (bytes + kAlignment - 1) / kAlignment * kAlignment);
    return taken;
}

std::shared_ptr<HostArena> ArenaPool::take(std::size_t bytes) {
    std::unique_ptr<HostArena> arena;
    {
        const std::lock_guard lock(m_mutex);
        arena = std::move(m_free);
    }
    if (!arena || arena->capacity() != std::max(bytes, kAlignment)) {
        arena.reset();  // before another is made: two at a time are what was stated
        arena = std::make_unique<HostArena>(bytes);
    }
    arena->clear();
    return {arena.release(), [pool = weak_from_this()](HostArena* used) {
                std::unique_ptr<HostArena> owned(used);
                if (const auto alive = pool.lock())
                    alive->giveBack(std::move(owned));
            }};
}

void ArenaPool::giveBack(std::unique_ptr<HostArena> arena) {
    const std::lock_guard lock(m_mutex);
    m_free = std::move(arena);  // one that was there already is given back to the system
}

}  // namespace eigenscope
