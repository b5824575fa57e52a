// SPDX-License-Identifier: Apache-2.0
// A checkpoint's weights, one part at a time: the part that was asked for last, and the one behind it, which
// a thread reads meanwhile. Bytes are read, not mapped, so that memory is this and no more. Any thread;
// sessions that ask for different parts at the same time make each other wait and read again.
#pragma once

#include "core/model/host_arena.h"
#include "core/model/model.h"
#include "core/model/weight_source.h"

#include <future>
#include <mutex>
#include <vector>

namespace eigenscope {

class StreamedWeights : public WeightSource {
public:
    // `parts`: bytes of the embedding, every layer, and the head, as WeightReader::readBytes() counts them.
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
    void begin(std::size_t part) const;  // reading, in a thread
    PartPointer read(std::size_t part, const std::stop_token& stop) const;
    std::int64_t largestPair() const;

    std::shared_ptr<Backend> m_backend;
    std::shared_ptr<const Checkpoint> m_checkpoint;
    ModelConfig m_config;
    std::vector<std::size_t> m_parts;
    std::shared_ptr<ArenaPool> m_pool = std::make_shared<ArenaPool>();

    mutable std::mutex m_mutex;
    mutable PartPointer m_current;
    mutable std::size_t m_current_part = 0, m_next_part = 0;
    mutable std::stop_source m_stop;          // of the reading under way
    mutable std::future<PartPointer> m_next;  // last: ends before what its thread uses
};

}  // namespace eigenscope
