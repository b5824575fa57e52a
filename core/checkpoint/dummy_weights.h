// SPDX-License-Identifier: Apache-2.0
// Random weights of any size in little memory, for exploring a model that is not there. Every matrix is a
// window on one pool of random numbers, mapped over and over at consecutive addresses: reading a matrix
// costs the memory traffic that the real one would (the pool is larger than processors' caches), but a
// model of 140 GB takes no more than the pool. Numbers depend on nothing but a tensor's name and its place in
// the pool, so they are the same everywhere. Immutable once filled; any thread.
#pragma once

#include "core/checkpoint/tensor_record.h"

#include <mutex>
#include <string>
#include <vector>

namespace eigenscope {

struct DummyTensor {
    std::string name;
    std::vector<std::int64_t> shape;
    // Matrices get normal numbers of deviation 0.02, as initialised models have; vectors zeros or ones.
    enum class Fill : std::uint8_t { Normal, Zeros, Ones } fill = Fill::Normal;
};

class DummyWeights : public std::enable_shared_from_this<DummyWeights> {
public:
    // Reserves addresses; writes nothing yet. `file` is what messages call the weights. Throws OutOfMemory
    // when there are not addresses enough.
    static std::shared_ptr<DummyWeights> create(const std::vector<DummyTensor>& tensors, FileDType dtype,
                                                const std::filesystem::path& file);
    ~DummyWeights();
    DummyWeights(const DummyWeights&) = delete;
    DummyWeights& operator=(const DummyWeights&) = delete;

    std::vector<TensorRecord> records() const;  // bytes that are zero until fill()
    void fill() const;                          // once, however often it is called
    // Copies bytes [begin, begin + to.size()) of a tensor, from the pool itself: the windows on it would
    // count as resident memory page by page, however often they show the same ones.
    void read(const TensorRecord& tensor, std::uint64_t begin, std::span<std::byte> to) const;
    std::size_t poolBytes() const { return m_pool_bytes; }

private:
    DummyWeights() = default;
    std::size_t firstPage(const std::string& name) const;  // of the pool, where a matrix begins
    void mapMatrix(std::byte* at, std::size_t bytes, std::size_t first_page);

    std::vector<TensorRecord> m_records;     // without owner
    std::vector<std::byte> m_zeros, m_ones;  // as long as the longest vector; all are views of these
    std::byte* m_region = nullptr;
    std::size_t m_region_bytes = 0;
    std::byte* m_pool = nullptr;
    std::size_t m_pool_bytes = 0;
    int m_pool_file = -1;
    DType m_dtype = DType::F32;
    mutable std::once_flag m_filled;
};

}  // namespace eigenscope
