// SPDX-License-Identifier: Apache-2.0
// Losses of a text. A vocabulary is as wide as 128k tokens, so logits are made and used up some rows at a
// time: the output head is read once for each part, a tenth of a layer-by-layer pass at most.
#include "core/model/session.h"
#include "core/model/transformer.h"

#include <algorithm>
#include <string>

namespace eigenscope {

void Transformer::nll(Session& session, std::span<const TokenId> tokens, std::span<const TokenId> targets,
                      KvCache& cache, std::span<double> nll) const {
    const ModelConfig& config = m_model->config;
    if (targets.size() != tokens.size() || nll.size() != tokens.size()) {
        throw Error(ErrorCode::InvalidInput, std::to_string(tokens.size()) + " tokens have " +
                                                 std::to_string(targets.size()) + " targets and room for " +
                                                 std::to_string(nll.size()) + " losses; expected as many");
    }
    for (const TokenId target : targets) {
        if (target < 0 || target >= config.vocab_size) {
            throw Error(ErrorCode::InvalidInput, "target " + std::to_string(target) +
                                                     " is outside the vocabulary, 0 to " +
                                                     std::to_string(config.vocab_size - 1));
        }
    }
    forward(session, tokens, cache, LogitsOf::None);
    Session::State& state = *session.m_state;
    Stream& stream = *state.stream;
    const auto rows = static_cast<std::int64_t>(tokens.size());
    const std::size_t row_bytes = static_cast<std::size_t>(config.vocab_size) * sizeof(float);
    const std::int64_t most =
        std::clamp<std::int64_t>(static_cast<std::int64_t>(state.options.loss_bytes / row_bytes), 1, rows);
    state.atLeast(state.logits, static_cast<std::size_t>(most) * row_bytes);
    state.atLeast(state.loss, tokens.size() * (sizeof(double) + sizeof(TokenId)));
    auto* losses = static_cast<double*>(state.loss->data());
    auto* device_targets = reinterpret_cast<TokenId*>(losses + rows);
    m_backend->upload(stream, device_targets, targets.data(), targets.size_bytes());
    const float* hidden = state.f32(state.layout.hidden);  // as forward() left it
    for (std::int64_t first = 0; first < rows; first += most) {
        const std::int64_t count = std::min(most, rows - first);
        const TensorView logits = head(session, hidden + first * config.hidden_size, count, 1, LogitsOf::All);
        m_backend->nll(stream, {.logits = logits.f32(),
                                .targets = device_targets + first,
                                .nll = losses + first,
                                .rows = count,
                                .vocab = config.vocab_size});
    }
    m_backend->download(stream, nll.data(), losses, nll.size_bytes());
}

}  // namespace eigenscope
