// SPDX-License-Identifier: Apache-2.0
#include "core/model/session.h"

#include <algorithm>
#include <functional>
#include <numeric>
#include <vector>

namespace eigenscope {

Session::Session(std::shared_ptr<Backend> backend, const Model& model, const SessionOptions& options)
    : m_state(std::make_unique<State>()) {
    if (options.max_rows < 1) {
        throw Error(ErrorCode::InvalidInput,
                    "a session needs room for at least one row, found " + std::to_string(options.max_rows));
    }
    State& state = *m_state;
    state.backend = std::move(backend);
    state.options = options;
    state.stream = state.backend->createStream(options.threads);
    state.stream->stopWith(options.stop);
    state.layout = layoutActivations(model.config, options.max_rows);
    state.arena = state.backend->allocate(state.layout.bytes);
    if (model.config.position == PositionKind::Learned) {
        // Any run of consecutive positions is a part of this list, so that a step uploads nothing but its
        // tokens.
        std::vector<TokenId> positions(
            static_cast<std::size_t>(model.config.position_offset + model.config.max_positions));
        std::iota(positions.begin(), positions.end(), 0);
        state.backend->upload(*state.stream, state.ids(state.layout.positions), positions.data(),
                              positions.size() * sizeof(TokenId));
        state.stream->synchronize();
    }
}

Session::~Session() = default;
Session::Session(Session&&) noexcept = default;

bool Session::holds(const ModelConfig& config) const {
    const auto needed = layoutActivations(config, 1).attention_widths;
    const auto& held = m_state->layout.attention_widths;
    return std::equal(needed.begin(), needed.end(), held.begin(), std::less_equal<>());
}

Stream& Session::stream() { return *m_state->stream; }
Backend& Session::backend() { return *m_state->backend; }
const SessionOptions& Session::options() const { return m_state->options; }

std::size_t Session::activationBytes() const {
    std::size_t bytes = m_state->arena->bytes();
    for (const auto* buffer :
         {&m_state->logits, &m_state->traced_query, &m_state->traced_key, &m_state->rotary, &m_state->loss}) {
        bytes += *buffer ? (*buffer)->bytes() : 0;
    }
    return bytes;
}

std::size_t Session::scratchBytes() const { return activationBytes() + m_state->stream->scratchBytes(); }

}  // namespace eigenscope
