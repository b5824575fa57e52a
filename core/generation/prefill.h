// SPDX-License-Identifier: Apache-2.0
// A prompt into an empty cache, in chunks of as many rows as the session holds. Of a streamed model all
// chunks pass a layer before the next is taken up, to the same bits, so that the weights are read once
// however long the prompt is. One thread.
#pragma once

#include "core/model/transformer.h"

#include <cstdint>
#include <functional>
#include <span>
#include <string>

namespace eigenscope {

// Tokens [batch, count] of positions [begin, begin + count); valid until the next call.
using PromptTokens = std::function<std::span<const TokenId>(std::int64_t begin, std::int64_t count)>;
// Positions done of the prompt's; of a streamed model, positions times layers.
using PrefillProgress = std::function<void(std::int64_t done, std::int64_t total)>;
std::string prefillStage(const Model& model);  // how users are told what is counted

// Logits [batch, vocab] of the last of `length` positions, as Transformer::forward() returns them. Throws
// what it throws; what is in the cache is undefined then.
TensorView prefill(const Transformer& transformer, Session& session, KvCache& cache, std::int64_t length,
                   const PromptTokens& tokens, const PrefillProgress& progress);

// Device memory that it takes beside the session when the model is streamed: hidden states of the whole
// prompt between two layers.
std::int64_t streamedPrefillBytes(const ModelConfig& config, std::int64_t length, int batch);

}  // namespace eigenscope
