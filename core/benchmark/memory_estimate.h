// SPDX-License-Identifier: Apache-2.0
// How much memory a run takes, from the configuration alone.
#pragma once

#include "core/model/kv_cache.h"
#include "core/model/model_config.h"

#include <cstdint>

namespace eigenscope {

struct MemoryEstimate {
    std::int64_t weight_bytes = 0, kv_bytes = 0, scratch_bytes = 0;
    std::int64_t total() const { return weight_bytes + kv_bytes + scratch_bytes; }
};
// `prefill_rows`: rows of one forward call (activations, and the exact rows of a quantised cache, are sized
// for it). Of a streamed model, prefill keeps the hidden states of all positions (core/generation/prefill.h).
MemoryEstimate estimateMemory(const ModelConfig& config, std::int64_t weight_bytes, std::int64_t context,
                              int batch, const KvFormat& kv_format, std::int64_t prefill_rows = 256,
                              bool streamed = false);
// Longest context that fits; 0 when even the weights do not. Not limited by the model's max positions.
std::int64_t longestContext(const ModelConfig& config, std::int64_t weight_bytes, std::int64_t memory_bytes,
                            int batch, const KvFormat& kv_format, std::int64_t prefill_rows = 256,
                            bool streamed = false);

}  // namespace eigenscope
