// SPDX-License-Identifier: Apache-2.0
#include "core/model/transformer.h"

#include "core/base/job_context.h"
#include "core/model/decode_step.h"
#include "core/model/layer_pass.h"
#include "core/model/positions.h"
#include "core/model/session.h"

#include <algorithm>
#include <string>
#include <utility>

namespace eigenscope {

namespace {

[[noreturn]] void failArgument(const std::string& message) { throw Error(ErrorCode::InvalidInput, message); }

void checkCall(const ModelConfig& config, const SessionOptions& options, std::int64_t count,
               const KvCache& cache) {
    if (count < 1) {
        failArgument("a forward call needs at least one token");
    }
    const std::int64_t end = cache.length() + count;
    if (cache.specs().size() != static_cast<std::size_t>(config.layers)) {
        failArgument("the KV cache has " + std::to_string(cache.specs().size()) + " layers, the model " +
                     std::to_string(config.layers));
    }
    for (int layer = 0; layer < config.layers; ++layer) {
        const KvLayerSpec& spec = cache.specs()[static_cast<std::size_t>(layer)];
        if (spec.kv_heads != config.cachedHeads() || spec.key_width != config.keyWidth(layer) ||
            spec.value_width != config.valueWidth(layer)) {
            failArgument("the KV cache was made for another model: layer " + std::to_string(layer) +
                         " has other widths");
        }
    }
    if (count * cache.batch() > options.max_rows) {
        failArgument(std::to_string(cache.batch()) + " x " + std::to_string(count) +
                     " tokens are more rows than the session holds, " + std::to_string(options.max_rows));
    }
    if (end > cache.capacity()) {
        failArgument("the KV cache is full: " + std::to_string(cache.length()) + " + " +
                     std::to_string(count) + " positions do not fit in " + std::to_string(cache.capacity()));
    }
    if (end > config.max_positions) {
        failArgument("position " + std::to_string(end - 1) + " is beyond the model's " +
                     std::to_string(config.max_positions) + " positions");
    }
}

void checkIds(const ModelConfig& config, std::span<const TokenId> tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
        if (tokens[i] < 0 || tokens[i] >= config.vocab_size) {
            failArgument("token id " + std::to_string(tokens[i]) + " (number " + std::to_string(i) +
                         ") is outside the vocabulary, 0 to " + std::to_string(config.vocab_size - 1));
        }
    }
}

// y = linear(x), [rows] of both.
void multiply(Session& session, const Session::State& state, const Linear& linear, const float* x, float* y,
              std::int64_t rows) {
    session.backend().gemm(session.stream(), {.x = x,
                                              .weight = linear.weight.data(),
                                              .weight_dtype = linear.weight.dtype(),
                                              .bias = linear.bias.empty() ? nullptr : linear.bias.f32(),
                                              .y = y,
                                              .m = rows,
                                              .n = linear.outputs(),
                                              .k = linear.inputs(),
                                              .compute = state.options.compute});
}

// Cosines and sines of this run: the model's, or where the length decides, the session's own for what the
// cache has room for. Empty without rotary positions.
RotaryTable rotaryOf(Session& session, Session::State& state, const Model& model, const KvCache& cache) {
    const ModelConfig& config = model.config;
    if (config.position != PositionKind::Rotary) {
        return {};
    }
    const std::int64_t length = std::min<std::int64_t>(cache.capacity(), config.max_positions);
    if (!rotationDependsOnLength(config, length)) {
        return {model.rotary_cos.f32(), model.rotary_sin.f32(), model.rotary_cos.shape()[0], config.head_dim};
    }
    const std::int64_t count = length * (config.head_dim / 2);
    if (state.rotary_positions != length) {
        const RotaryNumbers numbers = rotaryNumbers(rotaryFrequencies(config, length), length);
        const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(float);
        float* table = state.atLeast(state.rotary, 2 * bytes);
        session.backend().upload(session.stream(), table, numbers.cos.data(), bytes);
        session.backend().upload(session.stream(), table + count, numbers.sin.data(), bytes);
        session.stream().synchronize();  // the numbers end with this function
        state.rotary_positions = length;
    }
    const auto* table = static_cast<const float*>(state.rotary->data());
    return {table, table + count, length, config.head_dim};
}

// hidden += learned positions; `params` are those of the tokens.
void addPositions(Session& session, const Session::State& state, const Model& model, const Tensor& positions,
                  EmbedParams params, std::int64_t rows, const KvCache& cache, const StepPosition& at) {
    const ModelConfig& config = model.config;
    Backend& backend = session.backend();
    const std::int64_t count = rows / cache.batch();
    params.table = positions.data();
    params.table_dtype = positions.dtype();
    params.rows = positions.shape()[0];
    params.width = config.hidden_size;
    params.ids = at.learned != nullptr
                     ? at.learned
                     : state.ids(state.layout.positions) + config.position_offset + at.position;
    params.count = count;
    params.accumulate = true;
    for (int sequence = 0; sequence < cache.batch(); ++sequence) {
        params.y = state.f32(state.layout.hidden) + sequence * count * config.hidden_size;
        backend.embed(session.stream(), params);
    }
}

// hidden = embeddings of the ids on the device (+ learned positions).
void embedTokens(Session& session, const Session::State& state, const Model& model, std::int64_t rows,
                 const KvCache& cache, const StepPosition& at) {
    const ModelConfig& config = model.config;
    Backend& backend = session.backend();
    const bool narrow = config.projectsEmbeddings();
    const EmbeddingLease weights = model.embedding(state.options.stop);
    EmbedParams params{.table = weights->tokens.data(),
                       .table_dtype = weights->tokens.dtype(),
                       .rows = config.vocab_size,
                       .width = config.embedding_size,
                       .ids = state.ids(state.layout.ids),
                       .count = rows,
                       .y = state.f32(narrow ? state.layout.narrow : state.layout.hidden)};
    backend.embed(session.stream(), params);
    if (narrow) {
        multiply(session, state, weights->project_in, state.f32(state.layout.narrow),
                 state.f32(state.layout.hidden), rows);
    }
    if (config.position == PositionKind::Learned) {
        addPositions(session, state, model, weights->positions, params, rows, cache, at);
    }
    if (model.streamed()) {
        session.stream().synchronize();  // the weights end with the lease
    }
}

}  // namespace

Transformer::Transformer(std::shared_ptr<Backend> backend, std::shared_ptr<const Model> model)
    : m_backend(std::move(backend)), m_model(std::move(model)) {}

Session Transformer::createSession(const SessionOptions& options) const {
    return Session(m_backend, *m_model, options);
}

KvCache Transformer::createCache(const KvFormat& format, std::int64_t capacity, int batch,
                                 std::int64_t longest) const {
    try {
        return KvCache(*m_backend, kvLayerSpecs(m_model->config, format), batch, capacity, longest);
    } catch (const Error& error) {
        if (error.code() != ErrorCode::OutOfMemory || batch < 1) {
            throw;
        }
        // Here everything that the failed cache had allocated is free again.
        const auto fits =
            static_cast<std::int64_t>(m_backend->memory().available_bytes /
                                      std::max<std::size_t>(1, kvBytesPerToken(m_model->config, format) *
                                                                   static_cast<std::size_t>(batch)));
        throw Error(ErrorCode::OutOfMemory,
                    std::string("a KV cache of ") + std::to_string(capacity) + " positions" +
                        (batch > 1 ? " of " + std::to_string(batch) + " sequences" : "") +
                        " does not fit; about " + std::to_string(fits) + " positions would (" + error.what() +
                        ")");
    }
}

KvCache Transformer::createLayerCache(const KvFormat& format, std::int64_t capacity,
                                      std::int64_t longest) const {
    return KvCache(*m_backend, kvLayerSpecs(m_model->config, format), 1, capacity, longest,
                   KvCache::Sharing::OneLayer);
}

TensorView Transformer::embed(Session& session, std::span<const TokenId> tokens, const KvCache& cache) const {
    Session::State& state = *session.m_state;
    const auto rows = static_cast<std::int64_t>(tokens.size());
    if (rows % cache.batch() != 0) {
        failArgument(std::to_string(rows) + " tokens cannot be shared by " + std::to_string(cache.batch()) +
                     " sequences evenly");
    }
    checkCall(m_model->config, state.options, rows / cache.batch(), cache);
    checkIds(m_model->config, tokens);
    m_backend->upload(*state.stream, state.ids(state.layout.ids), tokens.data(), tokens.size_bytes());
    embedTokens(session, state, *m_model, rows, cache, StepPosition{cache.length()});
    state.stream->synchronize();
    return {state.f32(state.layout.hidden), DType::F32, {rows, m_model->config.hidden_size}};
}

void Transformer::queueLayer(Session& session, int layer, const TensorView& hidden, std::int64_t count,
                             const KvCache& cache, const StepPosition& at, LayerObserver* observer) const {
    Session::State& state = *session.m_state;
    if (state.options.stop.stop_requested()) {
        throw Cancelled();
    }
    const auto observe = [&](auto notify) {
        if (observer != nullptr) {
            state.stream->synchronize();
            notify(*observer);
        }
    };
    const LayerLease weights = m_model->layer(layer, state.options.stop);
    LayerPass pass(session, state, *m_model, *weights, rotaryOf(session, state, *m_model, cache), layer,
                   hidden.f32(), count, cache, at);
    observe([&](LayerObserver& o) { o.onLayerInput(layer, hidden); });
    pass.attention(observer != nullptr ? &state : nullptr);
    observe([&](LayerObserver& o) { o.onAttention(layer, pass.trace()); });
    pass.mlp();
    observe([&](LayerObserver& o) { o.onLayerOutput(layer, hidden); });
    if (m_model->streamed()) {
        state.stream->synchronize();  // the weights end with the lease
    }
}

void Transformer::runLayer(Session& session, int layer, const TensorView& hidden, std::int64_t count,
                           KvCache& cache, LayerObserver* observer) const {
    const ModelConfig& config = m_model->config;
    checkCall(config, session.options(), count, cache);
    if (!session.holds(config)) {
        failArgument("the session was made for a model with narrower attention");
    }
    if (layer < 0 || layer >= config.layers) {
        failArgument("layer " + std::to_string(layer) + " is not one of the model's " +
                     std::to_string(config.layers));
    }
    const Shape expected{cache.batch() * count, config.hidden_size};
    if (hidden.dtype != DType::F32 || hidden.shape != expected) {
        failArgument("the hidden state is " + hidden.shape.text() + ", expected f32 " + expected.text());
    }
    cache.prepare(count);
    queueLayer(session, layer, hidden, count, cache, {cache.length()}, observer);
    session.stream().synchronize();
}

TensorView Transformer::logits(Session& session, const TensorView& hidden) const {
    Session::State& state = *session.m_state;
    const ModelConfig& config = m_model->config;
    const std::int64_t rows = hidden.shape[0];
    if (hidden.dtype != DType::F32 || hidden.shape != Shape{rows, config.hidden_size} || rows < 1 ||
        rows > state.options.max_rows) {
        failArgument("the hidden state is " + hidden.shape.text() + ", expected f32 [1 to " +
                     std::to_string(state.options.max_rows) + ", " + std::to_string(config.hidden_size) +
                     "]");
    }
    state.atLeast(state.logits, static_cast<std::size_t>(rows * config.vocab_size) * sizeof(float));
    const TensorView result = head(session, hidden.f32(), rows, 1, LogitsOf::All);
    state.stream->synchronize();
    return result;
}

TensorView Transformer::head(Session& session, const float* hidden, std::int64_t count, int batch,
                             LogitsOf which) const {
    const Session::State& state = *session.m_state;
    const ModelConfig& config = m_model->config;
    const std::int64_t rows = which == LogitsOf::All ? batch * count : batch;
    float* normed = state.f32(state.layout.normed);
    const HeadLease weights = m_model->head(state.options.stop);
    // The rows that are wanted, normalised or as they are.
    const auto take = [&](const float* x, float* y, std::int64_t taken) {
        if (!config.final_norm) {
            const auto bytes = static_cast<std::size_t>(taken * config.hidden_size) * sizeof(float);
            m_backend->copy(session.stream(), y, x, bytes);
            return;
        }
        const Norm& norm = weights->norm;
        m_backend->norm(session.stream(), {.kind = config.norm,
                                           .x = x,
                                           .weight = norm.weight.empty() ? nullptr : norm.weight.f32(),
                                           .bias = norm.bias.empty() ? nullptr : norm.bias.f32(),
                                           .y = y,
                                           .rows = taken,
                                           .width = config.hidden_size,
                                           .epsilon = config.norm_epsilon});
    };
    if (rows == batch * count) {
        take(hidden, normed, rows);
    } else {
        for (int sequence = 0; sequence < batch; ++sequence) {
            take(hidden + ((sequence + 1) * count - 1) * config.hidden_size,
                 normed + sequence * config.hidden_size, 1);
        }
    }
    const float* last = normed;
    if (config.projectsEmbeddings()) {
        float* narrow = state.f32(state.layout.narrow);
        multiply(session, state, weights->project_out, normed, narrow, rows);
        last = narrow;
    }
    float* logits = static_cast<float*>(state.logits->data());
    multiply(session, state, weights->output, last, logits, rows);
    if (m_model->streamed()) {
        session.stream().synchronize();  // the weights end with the lease
    }
    return {logits, DType::F32, {rows, config.vocab_size}};
}

TensorView Transformer::forward(Session& session, std::span<const TokenId> tokens, KvCache& cache,
                                LogitsOf which, LayerObserver* observer) const {
    Session::State& state = *session.m_state;
    const ModelConfig& config = m_model->config;
    const auto rows = static_cast<std::int64_t>(tokens.size());
    const std::int64_t count = rows / cache.batch();
    if (rows % cache.batch() != 0) {
        failArgument(std::to_string(rows) + " tokens cannot be shared by " + std::to_string(cache.batch()) +
                     " sequences evenly");
    }
    checkCall(config, state.options, count, cache);
    checkIds(config, tokens);
    if (which != LogitsOf::None) {
        const std::int64_t logit_rows = which == LogitsOf::All ? rows : cache.batch();
        state.atLeast(state.logits, static_cast<std::size_t>(logit_rows * config.vocab_size) * sizeof(float));
    }
    cache.prepare(count);
    m_backend->upload(*state.stream, state.ids(state.layout.ids), tokens.data(), tokens.size_bytes());
    const bool replayed =
        m_backend->info().replays && count == 1 && observer == nullptr && !m_model->streamed();
    const StepPosition at = replayed ? uploadStep(state, config, cache) : StepPosition{cache.length()};
    const auto queue = [&] {
        embedTokens(session, state, *m_model, rows, cache, at);
        const TensorView hidden{state.f32(state.layout.hidden), DType::F32, {rows, config.hidden_size}};
        for (int layer = 0; layer < config.layers; ++layer) {
            queueLayer(session, layer, hidden, count, cache, at, observer);
        }
        if (which != LogitsOf::None) {
            head(session, hidden.f32(), count, cache.batch(), which);
        }
    };
    if (replayed) {
        rotaryOf(session, state, *m_model, cache);  // may upload, which a replayed queue must not
        m_backend->replay(*state.stream, stepSignature(state, m_model, cache, at, which), queue);
    } else {
        queue();
    }
    state.stream->synchronize();
    TensorView logits;
    if (which != LogitsOf::None) {
        logits = {static_cast<float*>(state.logits->data()),
                  DType::F32,
                  {which == LogitsOf::All ? rows : cache.batch(), config.vocab_size}};
    }
    cache.advance(count);
    return logits;
}

}  // namespace eigenscope
