// SPDX-License-Identifier: Apache-2.0
// One window of hidden states taken through a model a layer at a time, with layers of its conversions in
// between: what everything that measures or refits single layers does. Whole windows, from an empty cache.
// One thread at a time.
#pragma once

#include "core/base/job_context.h"
#include "core/generation/generate.h"
#include "core/model/transformer.h"

#include <span>
#include <vector>

namespace eigenscope {

class LayerRunner {
public:
    // `length`: tokens of a window. A stop of the job is seen between layers.
    LayerRunner(const JobContext& job, const OpenModel& original, const RunOptions& run, std::int64_t length);

    std::int64_t length() const { return m_length; }
    // What the first layer gets for these tokens [length, hidden].
    std::vector<float> firstInput(std::span<const TokenId> tokens);

    // The hidden state [length, hidden], in place of the one before.
    void setHidden(const std::vector<float>& state);
    std::vector<float> hidden();
    // The hidden state through a layer. An observer's onAttention() may call hidden(): it holds the layer's
    // input plus attention's output by then.
    void run(int layer, LayerObserver* observer = nullptr) {
        runLayerOf(m_transformer, m_session, m_cache, layer, observer);
    }
    // The same through a layer of another model with the same hidden size, its keys and values cached in the
    // run's format or in the one that model plans (KvBits).
    enum class Cache : std::uint8_t { OfRun, Planned };
    void run(const OpenModel& other, int layer, LayerObserver* observer = nullptr,
             Cache cache = Cache::OfRun);
    std::vector<float> logits();  // of the hidden state, [length, vocab]
    std::vector<float> download(const TensorView& view);

private:
    void runLayerOf(const Transformer& transformer, Session& session, KvCache& cache, int layer,
                    LayerObserver* observer);

    Backend& m_backend;
    KvFormat m_format;
    Transformer m_transformer;
    std::int64_t m_length;
    Session m_session;
    KvCache m_cache;
    Tensor m_hidden;  // [length, hidden]
};

}  // namespace eigenscope
