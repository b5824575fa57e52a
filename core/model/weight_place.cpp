// SPDX-License-Identifier: Apache-2.0
#include "core/model/weight_place.h"

#include "core/model/model_config.h"

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>

namespace eigenscope {

namespace {

// Bytes read between two looks at a stop: a tenth of a second of a slow disk.
constexpr std::size_t kBlock = std::size_t{16} << 20;

// Some of a part's memory.
class PieceBuffer final : public Buffer {
public:
    PieceBuffer(std::shared_ptr<Buffer> memory, std::size_t begin, std::size_t bytes)
        : m_memory(std::move(memory)), m_begin(begin), m_bytes(bytes) {}
    void* data() const override { return static_cast<std::byte*>(m_memory->data()) + m_begin; }
    std::size_t bytes() const override { return m_bytes; }

private:
    std::shared_ptr<Buffer> m_memory;
    std::size_t m_begin, m_bytes;
};

}  // namespace

std::shared_ptr<Buffer> adoptNumbers(Backend& backend, std::vector<float> values) {
    auto owner = std::make_shared<const std::vector<float>>(std::move(values));
    return backend.adopt(std::as_bytes(std::span(*owner)), owner);
}

std::shared_ptr<Buffer> MappedPlace::stored(const TensorRecord& record) {
    // The format does not promise alignment; what is not aligned to its elements is copied to memory that is.
    if (reinterpret_cast<std::uintptr_t>(record.bytes.data()) % sizeOf(*engineDType(record.dtype)) != 0) {
        auto copy = std::make_shared<std::vector<std::byte>>(record.bytes.begin(), record.bytes.end());
        return m_backend.adopt(*copy, copy);
    }
    return m_backend.adopt(record.bytes, record.owner);
}

std::shared_ptr<Buffer> MappedPlace::made(std::vector<float> values) {
    return adoptNumbers(m_backend, std::move(values));
}

PartPlace::PartPlace(const Checkpoint& checkpoint, std::shared_ptr<Buffer> memory, std::stop_token stop)
    : m_checkpoint(checkpoint), m_memory(std::move(memory)), m_stop(std::move(stop)) {}

std::shared_ptr<Buffer> PartPlace::take(Piece piece) {
    if (piece.bytes > m_memory->bytes() - m_used)
        throw Error(ErrorCode::OutOfMemory, "a part's memory of " + std::to_string(m_memory->bytes()) +
                                                " bytes has no room for " + std::to_string(piece.bytes) +
                                                " more than " + std::to_string(m_used));
    piece.begin = m_used;
    m_used = std::min(m_memory->bytes(), m_used + aligned(piece.bytes));
    m_pieces.push_back(std::move(piece));
    return std::make_shared<PieceBuffer>(m_memory, m_pieces.back().begin, m_pieces.back().bytes);
}

std::shared_ptr<Buffer> PartPlace::stored(const TensorRecord& record) {
    return take({0, static_cast<std::size_t>(record.byteCount()), &record, {}});
}

std::shared_ptr<Buffer> PartPlace::made(std::vector<float> values) {
    const std::size_t bytes = values.size() * sizeof(float);
    return take({0, bytes, nullptr, std::move(values)});
}

TensorBytes PartPlace::bytes(const TensorRecord& record) {
    const auto read_bytes =
        std::make_shared<std::vector<std::byte>>(static_cast<std::size_t>(record.byteCount()));
    read(record, 0, *read_bytes);
    return {*read_bytes, read_bytes};
}

void PartPlace::read(const TensorRecord& record, std::size_t begin, std::span<std::byte> to) const {
    for (std::size_t at = 0; at < to.size(); at += kBlock) {
        if (m_stop.stop_requested())
            throw Cancelled();
        m_checkpoint.read(record, begin + at, to.subspan(at, std::min(kBlock, to.size() - at)));
    }
}

void PartPlace::fill(std::size_t begin, std::span<std::byte> to) const {
    const std::size_t end = begin + to.size();
    for (const Piece& piece : m_pieces) {
        const std::size_t from = std::max(begin, piece.begin),
                          until = std::min(end, piece.begin + piece.bytes);
        if (from >= until)
            continue;
        const std::span<std::byte> some = to.subspan(from - begin, until - from);
        if (piece.record != nullptr)
            read(*piece.record, from - piece.begin, some);
        else
            std::memcpy(some.data(), std::as_bytes(std::span(piece.made)).data() + (from - piece.begin),
                        some.size());
    }
}

void PartPlace::write(Backend& backend) const {
    backend.uploadBeside(m_memory->data(), m_used,
                         [this](std::size_t begin, std::span<std::byte> to) { fill(begin, to); });
}

}  // namespace eigenscope
