// SPDX-License-Identifier: Apache-2.0
#include "core/model/layer_sweep.h"

#include "core/base/job_context.h"

#include <algorithm>
#include <utility>

namespace eigenscope {

namespace {

std::int64_t longest(const std::vector<std::span<const TokenId>>& windows) {
    std::size_t length = 1;
    for (const auto& window : windows) {
        length = std::max(length, window.size());
    }
    return static_cast<std::int64_t>(length);
}

std::vector<std::size_t> stateSizes(const std::vector<std::span<const TokenId>>& windows, int hidden) {
    std::vector<std::size_t> sizes;
    for (const auto& window : windows) {
        sizes.push_back(window.size() * static_cast<std::size_t>(hidden));
    }
    return sizes;
}

}  // namespace

LayerSweep::LayerSweep(std::shared_ptr<Backend> backend, std::shared_ptr<const Model> model,
                       const SessionOptions& session, const KvFormat& format,
                       std::vector<std::span<const TokenId>> windows, const StateOptions& states)
    : m_backend(std::move(backend)),
      m_transformer(m_backend, std::move(model)),
      m_session(m_transformer.createSession(session)),
      m_windows(std::move(windows)),
      m_cache(m_transformer.createLayerCache(format, longest(m_windows), session.max_rows)),
      m_hidden(
          makeTensor(*m_backend, DType::F32, {session.max_rows, m_transformer.model().config.hidden_size})),
      m_states(std::make_shared<HiddenStates>(stateSizes(m_windows, m_transformer.model().config.hidden_size),
                                              states)) {}

void LayerSweep::setStates(std::shared_ptr<HiddenStates> states) {
    const std::vector<std::size_t> sizes = stateSizes(m_windows, m_transformer.model().config.hidden_size);
    bool fits = states && states->count() == sizes.size();
    for (std::size_t i = 0; fits && i < sizes.size(); ++i) {
        fits = states->size(i) == sizes[i];
    }
    if (!fits) {
        throw Error(ErrorCode::InvalidInput, "the hidden states that were kept are of other windows");
    }
    m_states = std::move(states);
    m_held = kNone;
}

void LayerSweep::forEachChunk(std::size_t window,
                              const std::function<void(std::int64_t, std::int64_t)>& visit) const {
    const auto length = static_cast<std::int64_t>(m_windows[window].size());
    const std::int64_t chunk = m_session.options().max_rows;
    for (std::int64_t at = 0; at < length; at += chunk) {
        if (m_session.options().stop.stop_requested()) {
            throw Cancelled();
        }
        visit(at, std::min(chunk, length - at));
    }
}

void LayerSweep::embed() {
    const auto hidden = static_cast<std::size_t>(m_transformer.model().config.hidden_size);
    m_held = kNone;
    for (std::size_t window = 0; window < m_windows.size(); ++window) {
        m_host.resize(m_states->size(window));
        m_cache.truncate(0);
        forEachChunk(window, [&](std::int64_t at, std::int64_t count) {
            const auto ids =
                m_windows[window].subspan(static_cast<std::size_t>(at), static_cast<std::size_t>(count));
            const TensorView view = m_transformer.embed(m_session, ids, m_cache);
            m_cache.advance(count);
            m_backend->download(m_session.stream(), m_host.data() + static_cast<std::size_t>(at) * hidden,
                                view.data, view.bytes());
        });
        m_states->write(window, m_host);
    }
}

void LayerSweep::pass(std::size_t window, int layer, LayerObserver* observer, const BeforeChunk& before,
                      const AfterChunk& after) {
    const auto hidden = static_cast<std::size_t>(m_transformer.model().config.hidden_size);
    m_held = kNone;
    m_host.resize(m_states->size(window));
    m_states->read(window, m_host);
    m_cache.truncate(0);
    forEachChunk(window, [&](std::int64_t at, std::int64_t count) {
        const TensorView view = m_hidden.rows(0, count).view();
        float* host = m_host.data() + static_cast<std::size_t>(at) * hidden;
        m_backend->upload(m_session.stream(), view.data, host, view.bytes());
        if (before) {
            m_session.stream().synchronize();
            before(at, view);
        }
        m_transformer.runLayer(m_session, layer, view, count, m_cache, observer);
        m_cache.advance(count);
        if (after) {
            after(at, view);
        }
        m_backend->download(m_session.stream(), host, view.data, view.bytes());
    });
    m_states->write(window, m_host);
}

TensorView LayerSweep::logits(std::size_t window, std::int64_t start) {
    if (m_session.options().stop.stop_requested()) {
        throw Cancelled();
    }
    if (m_held != window) {
        m_host.resize(m_states->size(window));
        m_states->read(window, m_host);
        m_held = window;
    }
    const std::int64_t hidden = m_transformer.model().config.hidden_size;
    const std::int64_t count = std::min(chunk(), static_cast<std::int64_t>(m_windows[window].size()) - start);
    const TensorView view = m_hidden.rows(0, count).view();
    m_backend->upload(m_session.stream(), view.data, m_host.data() + start * hidden, view.bytes());
    return m_transformer.logits(m_session, view);
}

std::int64_t LayerSweep::stateBytes(std::int64_t tokens, const ModelConfig& config) {
    return tokens * config.hidden_size * static_cast<std::int64_t>(sizeof(float));
}

}  // namespace eigenscope
