// SPDX-License-Identifier: Apache-2.0
// A checkpoint's weights, one part at a time: the part that was asked for last, and the one behind it, which
// a thread reads meanwhile. Bytes are read, not mapped, straight into memory for two parts that is allocated
// once (on a device with memory of its own, through the backend's pinned buffers beside what is computed), so
// that memory is this and no more. Any thread; sessions that ask for different parts at the same time make
// each other wait and read again, and a part that is asked for while leases hold others is allocated apart.
#pragma once

#include "core/model/model.h"
#include "core/model/part_memory.h"
#include "core/model/weight_source.h"

#include <future>
#include <mutex>
#include <vector>

namespace eigenscope {

class StreamedWeights : public WeightSource {
public:
    // `parts`: bytes of the embedding, every layer, and the head, as WeightReader::placedBytes() counts them.
    // Throws OutOfMemory when two neighbours do not fit.
    StreamedWeights(std::shared_ptr<Backend> backend, std::shared_ptr<const Checkpoint> checkpoint,
                    ModelConfig config, std::vector<std::size_t> parts);
    ~StreamedWeights() override;

    EmbeddingLease embedding(const std::stop_token& stop) const override;
    LayerLease layer(int layer, const std::stop_token& stop) const override;
    HeadLease head(const std::stop_token& stop) const override;
    std::int64_t hostBytes() const override;
    std::int64_t deviceBytes() const override;

private:
    struct Part {
        EmbeddingWeights embedding;
        LayerWeights layer;
        HeadWeights head;
    };
    using PartPointer = std::shared_ptr<const Part>;

    PartPointer acquire(std::size_t part, const std::stop_token& stop) const;
    // Reading into `memory`, in a thread.
    void begin(std::size_t part, std::shared_ptr<Buffer> memory) const;
    PartPointer read(std::size_t part, std::shared_ptr<Buffer> memory, const std::stop_token& stop) const;

    std::shared_ptr<Backend> m_backend;
    std::shared_ptr<const Checkpoint> m_checkpoint;
    ModelConfig m_config;
    std::vector<std::size_t> m_parts;
    std::size_t m_pair;  // bytes of the largest two neighbours
    std::shared_ptr<PartMemory> m_memory;

    mutable std::mutex m_mutex;
    mutable PartPointer m_current;
    mutable std::size_t m_current_part = 0, m_next_part = 0;
    mutable std::stop_source m_stop;          // of the reading under way
    mutable std::future<PartPointer> m_next;  // last: ends before what its thread uses
};

}  // namespace eigenscope
