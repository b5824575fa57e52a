// SPDX-License-Identifier: Apache-2.0
// The ops of one layer, queued on a session's stream: what a token's hidden state goes through. For the
// transformer's own files only; one thread, borrows everything.
#pragma once

#include "core/model/decode_step.h"
#include "core/model/session.h"

#include <initializer_list>
#include <utility>

namespace eigenscope {

// On rows [batch * count] of a session's activations.
class LayerPass {
public:
    LayerPass(Session& session, const Session::State& state, const Model& model, const LayerWeights& weights,
              const RotaryTable& rotary, int layer, float* hidden, std::int64_t count, const KvCache& cache,
              const StepPosition& at)
        : m_backend(session.backend()),
          m_stream(session.stream()),
          m_state(state),
          m_layout(state.layout),
          m_model(model),
          m_config(model.config),
          m_weights(weights),
          m_rotary(rotary),
          m_layer(layer),
          m_hidden(hidden),
          m_count(static_cast<std::int32_t>(count)),
          m_rows(cache.batch() * count),
          m_cache(cache),
          m_at(at) {}

    // hidden += W_o attention(norm(hidden)), or with norms after the sums hidden = norm(hidden + W_o
    // attention(hidden)); `observed` keeps queries and keys as they were before rotation.
    void attention(Session::State* observed);
    // The same with W_down act(W_up ...).
    void mlp();
    AttentionTrace trace() const;

private:
    NormParams norm(const Norm& norm, const float* x, float* y, std::int64_t width) const;
    GemmParams product(const Linear& linear, const float* x, float* y, bool accumulate) const;
    RopeParams rotation(float* x, int heads) const;
    KvAppendParams append(const float* x, const KvView& cache) const;
    // Products of what a block reads: the hidden state, normalised before it (`normed` then says how, and
    // must outlive the result) or not.
    ProjectParams blockProducts(const Norm& before, NormParams& normed,
                                std::initializer_list<std::pair<const Linear*, float*>> products);
    void endBlock(const Norm& norm);
    void project(float* query, float* key, float* value);
    void rotateAndAppend(float* query, float* key, const float* value, Session::State* observed);

    Backend& m_backend;
    Stream& m_stream;
    const Session::State& m_state;
    const ActivationLayout& m_layout;
    const Model& m_model;
    const ModelConfig& m_config;
    const LayerWeights& m_weights;
    RotaryTable m_rotary;
    int m_layer;
    float* m_hidden;
    std::int32_t m_count;
    std::int64_t m_rows;
    const KvCache& m_cache;
    const StepPosition& m_at;
    const float* m_traced_query = nullptr;
    const float* m_traced_key = nullptr;
};

}  // namespace eigenscope
