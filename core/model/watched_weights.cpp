// SPDX-License-Identifier: Apache-2.0
#include "core/model/watched_weights.h"

#include <utility>

namespace eigenscope {

namespace {

class WatchedWeights final : public WeightSource {
public:
    WatchedWeights(std::shared_ptr<const Model> model, PartSink sink)
        : m_model(std::move(model)), m_sink(std::move(sink)) {}
    EmbeddingLease embedding(const std::stop_token& stop) const override {
        m_sink(0);
        return m_model->embedding(stop);
    }
    LayerLease layer(int layer, const std::stop_token& stop) const override {
        m_sink(layer + 1);
        return m_model->layer(layer, stop);
    }
    HeadLease head(const std::stop_token& stop) const override {
        m_sink(m_model->config.layers + 1);
        return m_model->head(stop);
    }
    std::int64_t hostBytes() const override { return m_model->source->hostBytes(); }
    std::int64_t deviceBytes() const override { return m_model->source->deviceBytes(); }

private:
    std::shared_ptr<const Model> m_model;
    PartSink m_sink;
};

}  // namespace

int streamedParts(const Model& model) { return model.streamed() ? model.config.layers + 2 : 0; }

std::shared_ptr<const Model> watched(std::shared_ptr<const Model> model, PartSink sink) {
    if (!model->streamed()) {
        return model;
    }
    auto copy = std::make_shared<Model>(*model);
    copy->source = std::make_shared<WatchedWeights>(std::move(model), std::move(sink));
    return copy;
}

}  // namespace eigenscope
