// SPDX-License-Identifier: Apache-2.0
// A model's weights on a device: an immutable value of shared tensors. Copying a Model copies handles, so a
// converted model is a copy in which only the attention projections differ (an overlay), and runs beside the
// original in little more memory. Of a model that is streamed, the tensors are only described (shape and
// dtype, no data), and a WeightSource fetches a part when it is its turn. Any thread.
#pragma once

#include "core/base/job_context.h"
#include "core/checkpoint/checkpoint.h"
#include "core/model/model_config.h"
#include "core/model/open_checkpoint.h"
#include "core/model/stream_mode.h"
#include "core/model/weight_source.h"
#include "core/tokenizer/tokenizer.h"
#include "kernels/api/backend.h"

#include <memory>
#include <string>
#include <vector>

namespace eigenscope {

struct Linear {
    Tensor weight;  // [out, in], in the dtype it was saved in
    Tensor bias;    // [out] f32, or empty
    std::int64_t outputs() const { return weight.shape()[0]; }
    std::int64_t inputs() const { return weight.shape()[1]; }
};

struct Norm {
    Tensor weight;  // [width] f32
    Tensor bias;    // [width] f32, or empty
};

struct AttentionWeights {
    Linear query;         // [query_heads * query_width, hidden]
    Linear key;           // [cached heads * key_width, hidden]
    Linear value;         // [cached heads * value_width, hidden]
    Linear output;        // [hidden, query_heads * value_width]
    Norm query_norm;      // [query_heads * head_dim], config.qk_norm only
    Norm key_norm;        // [kv_heads * head_dim], config.qk_norm only
    Tensor lift_basis;    // [kv_heads, head_dim, key_width] f32: set when keys are rebuilt inside attention
    Tensor lift_mean;     // [kv_heads, head_dim] f32, or empty
    int query_width = 0;  // head_dim, or key_width for low-rank without rotary positions
    int key_width = 0;    // as cached, per head of the cache
    int value_width = 0;
};

struct LayerWeights {
    Norm attention_norm, mlp_norm;
    AttentionWeights attention;
    Linear gate, up, down;  // gate empty unless config.gated_mlp
};

// What turns token ids into the first hidden state.
struct EmbeddingWeights {
    Tensor tokens;      // [vocab, embedding]
    Linear project_in;  // [hidden, embedding], only where these widths differ
    Tensor positions;   // [offset + max_positions, hidden], learned positions only
};

// What turns the last hidden state into logits.
struct HeadWeights {
    Norm norm;           // config.final_norm only
    Linear project_out;  // [embedding, hidden], only where these widths differ
    Linear output;       // [vocab, embedding]
};

struct Model {
    ModelConfig config;
    Tensor token_embedding;     // [vocab, embedding]
    Linear project_in;          // [hidden, embedding], only where these widths differ
    Linear project_out;         // [embedding, hidden], likewise
    Tensor position_embedding;  // [offset + max_positions, hidden], learned positions only
    std::vector<LayerWeights> layers;
    Norm final_norm;                // config.final_norm only
    Linear output_head;             // [vocab, embedding]; shares token_embedding when tied
    Tensor rotary_cos, rotary_sin;  // [positions, head_dim / 2] f32, rotary positions only: of all runs, or
                                    // (rotationDependsOnLength) of those no longer than this
    Tensor alibi_slopes;            // [query_heads] f32, ALiBi only
    // Set when the model is streamed: the weights above have no data then, the tables have.
    std::shared_ptr<const WeightSource> source;

    bool streamed() const { return source != nullptr; }
    // Parts to compute with, whichever way the model is held. A stop makes them throw Cancelled. Leases must
    // not outlive the model.
    EmbeddingLease embedding(const std::stop_token& stop = {}) const;
    LayerLease layer(int layer, const std::stop_token& stop = {}) const;
    HeadLease head(const std::stop_token& stop = {}) const;

    std::int64_t weightBytes() const;  // each distinct buffer range counted once
    std::int64_t heldBytes() const;    // of these, what is in the device's memory at a time
};

// Reads, checks every tensor's shape against the configuration, and places the weights on the device (shared
// with the mapped file where the device can).
std::shared_ptr<const Model> loadModel(JobContext& job, Backend& backend, const Checkpoint& checkpoint);
// Checks the same from the headers alone; weights are read when a part is needed, and again each time.
std::shared_ptr<const Model> streamModel(JobContext& job, std::shared_ptr<Backend> backend,
                                         std::shared_ptr<const Checkpoint> checkpoint);

// Everything that belongs together once a checkpoint is open. Cheap to copy.
struct OpenModel {
    std::string name;  // shown to the user
    std::shared_ptr<Backend> backend;
    std::shared_ptr<const Checkpoint> checkpoint;
    std::shared_ptr<const Tokenizer> tokenizer;
    std::shared_ptr<const Model> model;  // of the checkpoint, or an overlay on it
};
// `path`: a checkpoint's directory or a preset (open_checkpoint.h).
OpenModel openModel(JobContext& job, std::shared_ptr<Backend> backend, const std::filesystem::path& path,
                    LoadFormat format = LoadFormat::Auto, StreamMode stream = StreamMode::Auto);

// The dtype the model's weights are stored in (of the first layer's query projection).
DType weightDType(const Model& model);
// What `--compute auto` means: the fastest arithmetic the device does well for the checkpoint's dtype.
Compute automaticCompute(const Backend& backend, const Model& model);

}  // namespace eigenscope
