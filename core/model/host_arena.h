// SPDX-License-Identifier: Apache-2.0
// Memory of one part of a streamed model: mapped by itself, so that dropping it gives it back to the system
// at once and to the byte, which an allocator need not do. One thread fills it.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace eigenscope {

class HostArena {
public:
    explicit HostArena(std::size_t bytes);  // throws OutOfMemory naming the size
    ~HostArena();
    HostArena(const HostArena&) = delete;
    HostArena& operator=(const HostArena&) = delete;

    std::size_t capacity() const { return m_bytes; }
    // The next bytes, at a multiple of 64; throws OutOfMemory when there are not enough.
    std::span<std::byte> take(std::size_t bytes);
    void clear() { m_used = 0; }

private:
    std::byte* m_data = nullptr;
    std::size_t m_bytes, m_used = 0;
};

// Hands arenas out and takes them back, so that parts of equal size follow each other in the same memory: its
// pages need not be made anew. Keeps at most one that is not in use. Any thread; may end before its arenas.
class ArenaPool : public std::enable_shared_from_this<ArenaPool> {
public:
    std::shared_ptr<HostArena> take(std::size_t bytes);

private:
    void giveBack(std::unique_ptr<HostArena> arena);

    std::mutex m_mutex;
    std::unique_ptr<HostArena> m_free;
};

}  // namespace eigenscope
