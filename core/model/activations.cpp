// SPDX-License-Identifier: Apache-2.0
#include "core/model/activations.h"

#include "core/model/decode_step.h"
#include "core/model/transformer.h"

#include <algorithm>

namespace eigenscope {

namespace {

// Hands out consecutive places of an arena.
class Placement {
public:
    explicit Placement(std::size_t begin) : m_end(begin) {}
    std::size_t place(std::int64_t elements, std::size_t element_bytes) {
        const std::size_t begin = m_end;
        const std::size_t bytes = static_cast<std::size_t>(elements) * element_bytes;
        m_end += (bytes + 63) / 64 * 64;
        return begin;
    }
    std::size_t end() const { return m_end; }

private:
    std::size_t m_end;
};

}  // namespace

ActivationLayout layoutActivations(const ModelConfig& config, std::int64_t rows) {
    int query_width = 0, key_width = 0, value_width = 0;
    for (int layer = 0; layer < config.layers; ++layer) {
        query_width = std::max(query_width, config.queryWidth(layer));
        key_width = std::max(key_width, config.keyWidth(layer));
        value_width = std::max(value_width, config.valueWidth(layer));
    }
    ActivationLayout layout;
    Placement shared(0);
    layout.hidden = shared.place(rows * config.hidden_size, sizeof(float));
    layout.normed = shared.place(rows * config.hidden_size, sizeof(float));
    if (config.projectsEmbeddings()) {
        layout.narrow = shared.place(rows * config.embedding_size, sizeof(float));
    }
    layout.ids = shared.place(rows, sizeof(TokenId));
    layout.step = shared.place(1, sizeof(StepInputs));
    if (config.position == PositionKind::Learned) {
        layout.positions =
            shared.place(std::int64_t{config.position_offset} + config.max_positions, sizeof(TokenId));
    }
    Placement attention(shared.end());
    layout.attention_widths = {
        std::int64_t{config.query_heads} * query_width, std::int64_t{config.cachedHeads()} * key_width,
        std::int64_t{config.cachedHeads()} * value_width, std::int64_t{config.query_heads} * value_width};
    const auto& widths = layout.attention_widths;
    layout.query = attention.place(rows * widths[0], sizeof(float));
    layout.key = attention.place(rows * widths[1], sizeof(float));
    layout.value = attention.place(rows * widths[2], sizeof(float));
    layout.output = attention.place(rows * widths[3], sizeof(float));
    Placement mlp(shared.end());
    layout.up = mlp.place(rows * config.intermediate_size, sizeof(float));
    if (config.gated_mlp) {
        layout.gate = mlp.place(rows * config.intermediate_size, sizeof(float));
    }
    layout.bytes = std::max(attention.end(), mlp.end());
    return layout;
}

std::size_t activationBytes(const ModelConfig& config, std::int64_t rows, std::int64_t logit_rows) {
    return layoutActivations(config, rows).bytes +
           static_cast<std::size_t>(logit_rows) * static_cast<std::size_t>(config.vocab_size) * sizeof(float);
}

}  // namespace eigenscope
