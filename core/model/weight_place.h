// SPDX-License-Identifier: Apache-2.0
// Where the tensors of a checkpoint go when they are read: shared with the mapped file, or into memory that
// one part of a streamed model has. One thread.
#pragma once

#include "core/checkpoint/checkpoint.h"
#include "kernels/api/backend.h"

#include <cstddef>
#include <memory>
#include <span>
#include <stop_token>
#include <vector>

namespace eigenscope {

// Bytes of a tensor and what keeps them alive.
struct TensorBytes {
    std::span<const std::byte> bytes;
    std::shared_ptr<const void> owner;
};

class WeightPlace {
public:
    virtual ~WeightPlace() = default;
    // A tensor as its file has it, aligned to its elements.
    virtual std::shared_ptr<Buffer> stored(const TensorRecord& record) = 0;
    // Numbers that were made from one.
    virtual std::shared_ptr<Buffer> made(std::vector<float> values) = 0;
    // What its file has, on the host, to make numbers from.
    virtual TensorBytes bytes(const TensorRecord& record) = 0;
};

// Numbers on the device, shared where it can.
std::shared_ptr<Buffer> adoptNumbers(Backend& backend, std::vector<float> values);

// Shared with the mapped files, which are prepared (Checkpoint::prepareBytes), where the device can.
class MappedPlace final : public WeightPlace {
public:
    explicit MappedPlace(Backend& backend) : m_backend(backend) {}
    std::shared_ptr<Buffer> stored(const TensorRecord& record) override;
    std::shared_ptr<Buffer> made(std::vector<float> values) override;
    TensorBytes bytes(const TensorRecord& record) override { return {record.bytes, record.owner}; }

private:
    Backend& m_backend;
};

// One after the other in memory that is there already. Nothing is in it before write(), and nothing is
// mapped.
class PartPlace final : public WeightPlace {
public:
    // Of the checkpoint, which must outlive this.
    PartPlace(const Checkpoint& checkpoint, std::shared_ptr<Buffer> memory, std::stop_token stop);
    std::shared_ptr<Buffer> stored(const TensorRecord& record) override;
    std::shared_ptr<Buffer> made(std::vector<float> values) override;
    TensorBytes bytes(const TensorRecord& record) override;
    // Reads and uploads all. A stop makes it throw Cancelled.
    void write(Backend& backend) const;

    // Tensors begin at multiples of this, as separate allocations on devices do.
    static constexpr std::size_t kAlignment = 256;
    static std::size_t aligned(std::size_t bytes) {
        return (bytes + kAlignment - 1) / kAlignment * kAlignment;
    }

private:
    struct Piece {
        std::size_t begin = 0, bytes = 0;
        const TensorRecord* record = nullptr;  // null: made
        std::vector<float> made;
    };
    std::shared_ptr<Buffer> take(Piece piece);
    void read(const TensorRecord& record, std::size_t begin, std::span<std::byte> to) const;
    void fill(std::size_t begin, std::span<std::byte> to) const;

    const Checkpoint& m_checkpoint;
    std::shared_ptr<Buffer> m_memory;
    std::stop_token m_stop;
    std::vector<Piece> m_pieces;  // in the order of their places
    std::size_t m_used = 0;
};

}  // namespace eigenscope
