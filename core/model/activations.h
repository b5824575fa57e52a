// SPDX-License-Identifier: Apache-2.0
// Where a session's activations lie: one arena, laid out once. Attention's and the MLP's share their place,
// since one is done before the other begins. Plain values.
#pragma once

#include "core/model/model_config.h"

#include <cstddef>
#include <cstdint>

#include <array>

namespace eigenscope {

// Byte offsets into the arena, each a multiple of 64.
struct ActivationLayout {
    std::size_t hidden = 0;  // f32 [rows, hidden]
    std::size_t normed = 0;  // f32 [rows, hidden]
    std::size_t narrow = 0;  // f32 [rows, embedding]: token embeddings, when their width is not hidden
    std::size_t ids = 0;     // TokenId [rows]
    std::size_t step = 0;    // StepInputs (core/model/decode_step.h)
    std::size_t query = 0;   // f32 [rows, query_heads * widest query]
    std::size_t key = 0;     // f32 [rows, cached heads * widest key]
    std::size_t value = 0;   // f32 [rows, cached heads * widest value]
    std::size_t output = 0;  // f32 [rows, query_heads * widest value]
    std::size_t up = 0;      // f32 [rows, intermediate], from where query begins
    std::size_t gate = 0;    // f32 [rows, intermediate] when the MLP is gated
    std::size_t positions =
        0;  // TokenId [position_offset + max_positions], 0, 1, 2, ...: learned positions only
    std::size_t bytes = 0;
    // Elements of a row of query, key, value and output.
    std::array<std::int64_t, 4> attention_widths{};
};
ActivationLayout layoutActivations(const ModelConfig& config, std::int64_t rows);

}  // namespace eigenscope
