// SPDX-License-Identifier: Apache-2.0
// The least that a step has to read or to compute, counted from shapes: what measured times are compared
// with. Pure functions; any thread.
#pragma once

#include "core/model/kv_cache.h"
#include "core/model/model.h"

#include <cstdint>

namespace eigenscope {

// Bytes of the cache that the query at `position` reads, each once: keys and values of all layers and
// sequences, codes with their scales, exact rows where the format keeps some; within a layer's window.
std::int64_t cacheBytesRead(const ModelConfig& config, const KvCache& cache, std::int64_t position);

// Bytes of weights that a decode step of `batch` sequences reads, each once: all but the tables of which it
// needs a row a sequence (token and position embedding, rotary table), and those rows.
std::int64_t decodeWeightBytes(const Model& model, int batch);

// Multiplications and additions of a prefill of `context` tokens in each of `batch` sequences: the linear
// projections of every token, logits of the last one, scores and weighted sums of the pairs that a causal
// mask (and a window) leaves, and each cached key rebuilt once where keys are.
double prefillFlops(const ModelConfig& config, std::int64_t context, int batch);

}  // namespace eigenscope
