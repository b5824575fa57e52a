// SPDX-License-Identifier: Apache-2.0
// The forward pass, one class for every family. A Transformer is const and shared; a Session holds what one
// run needs (stream, activations) and belongs to one thread at a time.
#pragma once

#include "core/model/kv_cache.h"
#include "core/model/model.h"

#include <memory>
#include <span>
#include <stop_token>

namespace eigenscope {

struct SessionOptions {
    int threads = 0;  // 0: the device's default
    Compute compute = Compute::F32;
    std::int64_t max_rows = 256;  // batch * tokens of one forward call at most: bounds activation memory
    std::stop_token stop = {};    // looked at between layers and within long ops; makes forward() throw
                                  // Cancelled
    std::size_t loss_bytes = std::size_t{64}
                             << 20;  // of logits at a time in Transformer::nll(), at least a row
};

// Device memory that a Session holds for activations: `rows` of the widest layer and `logit_rows` of logits
// (of the last position: the batch; of all: as many as rows). What the ops need beside it is the stream's
// scratch.
std::size_t activationBytes(const ModelConfig& config, std::int64_t rows, std::int64_t logit_rows);

class Session {
public:
    struct State;  // core/model/session.h
    Session(std::shared_ptr<Backend> backend, const Model& model, const SessionOptions& options);
    ~Session();
    Session(Session&&) noexcept;

    Stream& stream();
    Backend& backend();
    // Whether attention of this model fits: a session serves its own model, and others that are no wider.
    bool holds(const ModelConfig& config) const;
    const SessionOptions& options() const;
    std::size_t scratchBytes() const;  // activations and op scratch on the device
    // Of scratchBytes(): activationBytes() once a call has produced logits. An observer of a model with
    // rotary positions adds copies of the queries and keys before rotation.
    std::size_t activationBytes() const;

private:
    friend class Transformer;
    std::unique_ptr<State> m_state;
};

// What a layer did, for calibration, layer errors and pictures. Views are device memory, valid during the
// call, after the stream was synchronised. Rows are [batch * tokens].
struct AttentionTrace {
    TensorView queries;  // [rows, query_heads, query_width] before RoPE
    TensorView keys;     // [rows, cached heads, key_width] before RoPE
    TensorView values;   // [rows, cached heads, value_width]
    TensorView outputs;  // [rows, query_heads, value_width] weighted sums of values
};

class LayerObserver {
public:
    virtual ~LayerObserver() = default;
    virtual void onAttention(int layer, const AttentionTrace& trace) { (void)layer, (void)trace; }
    // The hidden state [rows, hidden] as it enters and leaves the layer.
    virtual void onLayerInput(int layer, const TensorView& hidden) { (void)layer, (void)hidden; }
    virtual void onLayerOutput(int layer, const TensorView& hidden) { (void)layer, (void)hidden; }
};

enum class LogitsOf : std::uint8_t { None, Last, All };
struct StepPosition;  // core/model/decode_step.h

class Transformer {
public:
    Transformer(std::shared_ptr<Backend> backend, std::shared_ptr<const Model> model);

    const Model& model() const { return *m_model; }
    const std::shared_ptr<Backend>& backend() const { return m_backend; }
    Session createSession(const SessionOptions& options) const;
    // `longest`: tokens of a sequence that one call appends at most.
    KvCache createCache(const KvFormat& format, std::int64_t capacity, int batch = 1,
                        std::int64_t longest = KvCache::kDefaultLongest) const;
    // A cache for one layer at a time (KvCache::Sharing::OneLayer), batch 1: from length 0, a sequence goes
    // through a layer whole, then the cache is cut to 0 for the next.
    KvCache createLayerCache(const KvFormat& format, std::int64_t capacity, std::int64_t longest) const;

    // Appends tokens [batch, count] (batch = cache.batch()) to the cache and returns logits: [batch, vocab]
    // of the last position, or [batch * count, vocab] of all; empty for None. Device memory that stays valid
    // until the session's next call. Throws InvalidInput for ids outside the vocabulary, a full cache,
    // positions beyond the model's, or more rows than the session holds. On a throw the cache's length is
    // unchanged.
    TensorView forward(Session& session, std::span<const TokenId> tokens, KvCache& cache, LogitsOf which,
                       LayerObserver* observer = nullptr) const;

    // Negative log-likelihoods of `targets` [batch * count], each given the tokens up to it, as forward()
    // with all logits and the op nll give them; but the whole vocabulary's logits of all rows never exist at
    // once.
    void nll(Session& session, std::span<const TokenId> tokens, std::span<const TokenId> targets,
             KvCache& cache, std::span<double> nll) const;

    // What the first layer gets for tokens [batch, count] that come behind cache.length(): hidden states
    // [batch * count, hidden] in device memory that stays valid until the session's next call. Returns when
    // the device is done.
    TensorView embed(Session& session, std::span<const TokenId> tokens, const KvCache& cache) const;

    // One layer alone, in place on hidden [batch * count, hidden]: for layer errors and streaming. Appends to
    // the cache's layer at cache.length() but does not advance it. Returns when the device is done.
    void runLayer(Session& session, int layer, const TensorView& hidden, std::int64_t count, KvCache& cache,
                  LayerObserver* observer = nullptr) const;

    // Logits [rows, vocab] of hidden states [rows, hidden] as the last layer leaves them, rows <= the
    // session's; valid until the session's next call. Returns when the device is done.
    TensorView logits(Session& session, const TensorView& hidden) const;

private:
    // Queues one layer's ops; everything was checked.
    void queueLayer(Session& session, int layer, const TensorView& hidden, std::int64_t count,
                    const KvCache& cache, const StepPosition& at, LayerObserver* observer) const;
    // Final norm and output projection of the rows of `hidden` [batch * count, hidden] that `which` names.
    TensorView head(Session& session, const float* hidden, std::int64_t count, int batch,
                    LogitsOf which) const;

    std::shared_ptr<Backend> m_backend;
    std::shared_ptr<const Model> m_model;
};

}  // namespace eigenscope
