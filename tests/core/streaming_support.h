// SPDX-License-Identifier: Apache-2.0
// What the tests of streamed models share. Header only.
#pragma once

#include "core/generation/generate.h"
#include "core/model/weight_source.h"
#include "tests/core/method_rows.h"

#include <memory>
#include <utility>

namespace eigenscope::test {

inline OpenModel streamedOf(const OpenModel& resident) {
    JobContext job;
    OpenModel open = resident;
    open.checkpoint = Checkpoint::open(resident.checkpoint->directory(), Checkpoint::Access::Headers);
    open.model = streamModel(job, resident.backend, open.checkpoint);
    return open;
}

// Counts how often another layer is asked for.
class CountedWeights : public WeightSource {
public:
    explicit CountedWeights(std::shared_ptr<const WeightSource> source) : m_source(std::move(source)) {}
    EmbeddingLease embedding(const std::stop_token& stop) const override { return m_source->embedding(stop); }
    LayerLease layer(int layer, const std::stop_token& stop) const override {
        m_count += layer != std::exchange(m_last, layer);
        return m_source->layer(layer, stop);
    }
    HeadLease head(const std::stop_token& stop) const override {
        m_last = -1;
        return m_source->head(stop);
    }
    std::int64_t hostBytes() const override { return m_source->hostBytes(); }
    std::int64_t deviceBytes() const override { return m_source->deviceBytes(); }
    int layersRead() const { return m_count; }

private:
    std::shared_ptr<const WeightSource> m_source;
    mutable int m_count = 0, m_last = -1;
};

inline OpenModel counted(const OpenModel& streamed) {
    auto model = std::make_shared<Model>(*streamed.model);
    model->source = std::make_shared<CountedWeights>(model->source);
    OpenModel open = streamed;
    open.model = model;
    return open;
}

inline RunOptions oneThread(StateStorage storage = StateStorage::File) {
    RunOptions run;
    run.threads = 1;
    run.states.storage = storage;
    return run;
}

}  // namespace eigenscope::test
