// SPDX-License-Identifier: Apache-2.0
// A CPU stream: ops run at once in the calling thread (and its OpenMP team), so synchronize() has nothing to
// wait for. It carries the thread count and the scratch memory. Used by one thread at a time.
#pragma once

#include "kernels/api/backend.h"

#include <cstddef>
#include <memory>
#include <new>
#include <vector>

namespace eigenscope::cpu {

inline constexpr std::size_t kAlignment = 64;  // one cache line, and the widest vector

struct AlignedDelete {
    void operator()(std::byte* p) const { ::operator delete (p, std::align_val_t{kAlignment}); }
};
using AlignedBytes = std::unique_ptr<std::byte[], AlignedDelete>;

// Bump allocator that an op empties when it starts. Growing adds a block, so that pointers taken before stay
// valid; the next op merges the blocks, so that repeating an op allocates nothing.
class Arena {
public:
    void reset();
    // Uninitialised, 64-byte aligned, valid until the next reset().
    template <class T>
    T* take(std::int64_t count) {
        return reinterpret_cast<T*>(takeBytes(static_cast<std::size_t>(count) * sizeof(T)));
    }
    // Gives back everything taken since mark() returned `mark`.
    struct Mark {
        std::size_t blocks = 0, used = 0;
    };
    Mark mark() const { return {m_blocks.size(), m_used}; }
    void release(Mark mark) { m_used = mark.blocks == m_blocks.size() ? mark.used : 0; }
    std::size_t bytes() const { return m_total; }  // of all blocks: never shrinks

private:
    struct Block {
        AlignedBytes data;
        std::size_t size = 0;
    };
    std::byte* takeBytes(std::size_t bytes);
    void addBlock(std::size_t size);

    std::vector<Block> m_blocks;
    std::size_t m_used = 0;  // of the last block
    std::size_t m_total = 0;
};

class CpuStream final : public Stream {
public:
    explicit CpuStream(int threads) : m_threads(threads) {}
    void synchronize() override {}
    std::size_t scratchBytes() const override { return m_arena.bytes(); }

    int threads() const { return m_threads; }
    Arena& arena() { return m_arena; }

private:
    int m_threads;
    Arena m_arena;
};

}  // namespace eigenscope::cpu
