// SPDX-License-Identifier: Apache-2.0
#include "core/model/streamed_weights.h"

#include "core/base/job_context.h"
#include "core/model/read_weights.h"
#include "core/model/weight_reader.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace eigenscope {

namespace {

// Bytes read between two looks at a stop: a tenth of a second of a slow disk.
constexpr std::size_t kBlock = std::size_t{16} << 20;

}  // namespace

StreamedWeights::StreamedWeights(std::shared_ptr<Backend> backend,
                                 std::shared_ptr<const Checkpoint> checkpoint, ModelConfig config,
                                 std::vector<std::size_t> parts)
    : m_backend(std::move(backend)),
      m_checkpoint(std::move(checkpoint)),
      m_config(std::move(config)),
      m_parts(std::move(parts)) {}

StreamedWeights::~StreamedWeights() { m_stop.request_stop(); }

EmbeddingLease StreamedWeights::embedding(const std::stop_token& stop) const {
    const PartPointer part = acquire(0, stop);
    return {part, &part->embedding};
}

LayerLease StreamedWeights::layer(int layer, const std::stop_token& stop) const {
    const PartPointer part = acquire(static_cast<std::size_t>(layer) + 1, stop);
    return {part, &part->layer};
}

HeadLease StreamedWeights::head(const std::stop_token& stop) const {
    const PartPointer part = acquire(m_parts.size() - 1, stop);
    return {part, &part->head};
}

std::int64_t StreamedWeights::largestPair() const {
    std::size_t most = m_parts.front();
    for (std::size_t i = 1; i < m_parts.size(); ++i)
        most = std::max(most, m_parts[i - 1] + m_parts[i]);
    return static_cast<std::int64_t>(most);
}

std::int64_t StreamedWeights::hostBytes() const {
    // On their way to a device of its own memory, parts are in the host's one at a time, or one and a spare.
    return m_checkpoint->heldBytes() + largestPair();
}

std::int64_t StreamedWeights::deviceBytes() const {
    return m_backend->info().host_accessible ? 0 : largestPair();
}

StreamedWeights::PartPointer StreamedWeights::acquire(std::size_t part, const std::stop_token& stop) const {
    const std::lock_guard lock(m_mutex);
    if (m_current && m_current_part == part)
        return m_current;
    m_current.reset();
    if (m_next.valid() && m_next_part != part) {
        m_stop.request_stop();
        m_next.wait();
        m_next = {};
    }
    if (!m_next.valid())
        begin(part);
    while (m_next.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready) {
        if (stop.stop_requested())
            throw Cancelled();
    }
    m_current = m_next.get();
    m_current_part = part;
    if (part + 1 < m_parts.size())
        begin(part + 1);
    return m_current;
}

void StreamedWeights::begin(std::size_t part) const {
    m_stop = std::stop_source();
    m_next_part = part;
    m_next =
        std::async(std::launch::async, [this, part, stop = m_stop.get_token()] { return read(part, stop); });
}

StreamedWeights::PartPointer StreamedWeights::read(std::size_t index, const std::stop_token& stop) const {
    const std::shared_ptr<HostArena> arena = m_pool->take(m_parts[index]);
    const auto fetch = [&](const TensorRecord& record) {
        const std::span<std::byte> bytes = arena->take(static_cast<std::size_t>(record.byteCount()));
        for (std::size_t at = 0; at < bytes.size(); at += kBlock) {
            if (stop.stop_requested())
                throw Cancelled();
            m_checkpoint->read(record, at, bytes.subspan(at, std::min(kBlock, bytes.size() - at)));
        }
        return TensorBytes{bytes, arena};
    };
    WeightReader reader(*m_backend, *m_checkpoint, fetch);
    auto part = std::make_shared<Part>();
    if (index == 0)
        part->embedding = readEmbedding(reader, m_config);
    else if (index + 1 == m_parts.size())
        part->head = readHead(reader, m_config, nullptr);
    else
        part->layer = readLayer(reader, m_config, static_cast<int>(index) - 1);
    return part;
}

}  // namespace eigenscope
