// SPDX-License-Identifier: Apache-2.0
#include "core/model/streamed_weights.h"

#include "core/base/job_context.h"
#include "core/model/read_weights.h"
#include "core/model/stream_mode.h"
#include "core/model/weight_reader.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace eigenscope {

namespace {

std::size_t largestPair(const std::vector<std::size_t>& parts) {
    std::size_t most = parts.front();
    for (std::size_t i = 1; i < parts.size(); ++i)
        most = std::max(most, parts[i - 1] + parts[i]);
    return most;
}

std::shared_ptr<PartMemory> memoryOf(Backend& backend, const std::vector<std::size_t>& parts) {
    const std::size_t bytes = largestPair(parts);
    try {
        return std::make_shared<PartMemory>(backend, bytes);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::OutOfMemory)
            throw;
        throw Error(ErrorCode::OutOfMemory,
                    "streaming this model needs " + std::to_string(bytes) +
                        " bytes of memory, for two of its parts at a time, the largest of " +
                        std::to_string(*std::ranges::max_element(parts)) + "; " +
                        std::to_string(availableMemory(backend)) + " are free (" + error.what() + ")");
    }
}

}  // namespace

StreamedWeights::StreamedWeights(std::shared_ptr<Backend> backend,
                                 std::shared_ptr<const Checkpoint> checkpoint, ModelConfig config,
                                 std::vector<std::size_t> parts)
    : m_backend(std::move(backend)),
      m_checkpoint(std::move(checkpoint)),
      m_config(std::move(config)),
      m_parts(std::move(parts)),
      m_pair(largestPair(m_parts)),
      m_memory(memoryOf(*m_backend, m_parts)) {}

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

std::int64_t StreamedWeights::hostBytes() const {
    const std::int64_t parts = m_backend->info().host_accessible ? static_cast<std::int64_t>(m_pair) : 0;
    return m_checkpoint->heldBytes() + parts;
}

std::int64_t StreamedWeights::deviceBytes() const {
    return m_backend->info().host_accessible ? 0 : static_cast<std::int64_t>(m_pair);
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
    if (!m_next.valid()) {
        std::shared_ptr<Buffer> memory = m_memory->take(m_parts[part]);
        begin(part, memory ? std::move(memory) : m_backend->allocate(m_parts[part]));
    }
    while (m_next.wait_for(std::chrono::milliseconds(20)) != std::future_status::ready) {
        if (stop.stop_requested())
            throw Cancelled();
    }
    m_current = m_next.get();
    m_current_part = part;
    if (part + 1 < m_parts.size()) {
        if (std::shared_ptr<Buffer> memory = m_memory->take(m_parts[part + 1]))
            begin(part + 1, std::move(memory));
    }
    return m_current;
}

void StreamedWeights::begin(std::size_t part, std::shared_ptr<Buffer> memory) const {
    m_stop = std::stop_source();
    m_next_part = part;
    m_next = std::async(std::launch::async,
                        [this, part, memory = std::move(memory), stop = m_stop.get_token()]() mutable {
                            return read(part, std::move(memory), stop);
                        });
}

StreamedWeights::PartPointer StreamedWeights::read(std::size_t index, std::shared_ptr<Buffer> memory,
                                                   const std::stop_token& stop) const {
    PartPlace place(*m_checkpoint, std::move(memory), stop);
    WeightReader reader(*m_checkpoint, &place);
    auto part = std::make_shared<Part>();
    if (index == 0)
        part->embedding = readEmbedding(reader, m_config);
    else if (index + 1 == m_parts.size())
        part->head = readHead(reader, m_config, nullptr);
    else
        part->layer = readLayer(reader, m_config, static_cast<int>(index) - 1);
    place.write(*m_backend);
    return part;
}

}  // namespace eigenscope
