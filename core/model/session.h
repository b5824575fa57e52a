// SPDX-License-Identifier: Apache-2.0
// What a Session holds; for the transformer's own files only.
#pragma once

#include "core/model/activations.h"
#include "core/model/transformer.h"

#include <vector>

namespace eigenscope {

struct Session::State {
    std::shared_ptr<Backend> backend;
    SessionOptions options;
    std::unique_ptr<Stream> stream;
    ActivationLayout layout;
    std::shared_ptr<Buffer> arena;
    std::shared_ptr<Buffer> logits;        // grows to the most rows that were asked for
    std::shared_ptr<Buffer> traced_query;  // before rotation, for observers; made when first needed
    std::shared_ptr<Buffer> traced_key;
    std::shared_ptr<Buffer> rotary;     // cos then sin [rotary_positions, head_dim / 2], where a run's
    std::int64_t rotary_positions = 0;  // length decides the frequencies; made when first needed
    std::shared_ptr<Buffer> loss;       // nll [rows] in f64, then targets [rows]; made when first needed
    struct ReplayedModel {
        std::weak_ptr<const Model> model;
        std::uint64_t number = 0;
    };
    std::vector<ReplayedModel> replayed_models;  // core/model/decode_step.h
    std::uint64_t model_count = 0;

    std::byte* at(std::size_t offset) const { return static_cast<std::byte*>(arena->data()) + offset; }
    float* f32(std::size_t offset) const { return reinterpret_cast<float*>(at(offset)); }
    TokenId* ids(std::size_t offset) const { return reinterpret_cast<TokenId*>(at(offset)); }
    // At least `bytes` of device memory in `buffer`, what was in it lost when it must grow.
    float* atLeast(std::shared_ptr<Buffer>& buffer, std::size_t bytes) const {
        if (!buffer || buffer->bytes() < bytes) {
            buffer.reset();
            buffer = backend->allocate(bytes);
        }
        return static_cast<float*>(buffer->data());
    }
};

}  // namespace eigenscope
