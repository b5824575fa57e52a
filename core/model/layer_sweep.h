// SPDX-License-Identifier: Apache-2.0
// Windows taken through a model layer by layer: all windows pass a layer before the next is taken up, so that
// each layer's weights are needed once however many windows there are. Between layers the windows' hidden
// states are kept (hidden_states.h). A window passes a layer in chunks, as forward() would take them, to the
// same bits. One thread.
#pragma once

#include "core/model/hidden_states.h"
#include "core/model/transformer.h"

#include <functional>
#include <memory>
#include <vector>

namespace eigenscope {

class LayerSweep {
public:
    // `session.max_rows`: tokens of a chunk. `windows` must outlive this; they may differ in length.
    LayerSweep(std::shared_ptr<Backend> backend, std::shared_ptr<const Model> model,
               const SessionOptions& session, const KvFormat& format,
               std::vector<std::span<const TokenId>> windows, const StateOptions& states);

    Session& session() { return m_session; }
    const Transformer& transformer() const { return m_transformer; }
    std::size_t windows() const { return m_windows.size(); }
    const std::shared_ptr<HiddenStates>& states() const { return m_states; }
    // Goes on from states that were kept; they are of windows of the same lengths.
    void setStates(std::shared_ptr<HiddenStates> states);

    void embed();  // the states become what the first layer gets
    // `start`: the chunk's first position in its window.
    using BeforeChunk = std::function<void(std::int64_t start, const TensorView& hidden)>;
    using AfterChunk = std::function<void(std::int64_t start, const TensorView& hidden)>;
    // Takes one window's state through a layer.
    void pass(std::size_t window, int layer, LayerObserver* observer = nullptr,
              const BeforeChunk& before = {}, const AfterChunk& after = {});
    // Logits [count, vocab] of a chunk of the state's rows, the one that begins at `start`; valid until the
    // next call.
    std::int64_t chunk() const { return m_session.options().max_rows; }
    TensorView logits(std::size_t window, std::int64_t start);

    // Memory that a sweep takes beside weights, cache and activations: of states and of what passes.
    static std::int64_t stateBytes(std::int64_t tokens, const ModelConfig& config);

private:
    void forEachChunk(std::size_t window, const std::function<void(std::int64_t, std::int64_t)>& visit) const;

    std::shared_ptr<Backend> m_backend;
    Transformer m_transformer;
    Session m_session;
    std::vector<std::span<const TokenId>> m_windows;
    KvCache m_cache;
    Tensor m_hidden;             // [chunk, hidden]
    std::vector<float> m_host;   // one window's state
    std::size_t m_held = kNone;  // the window that it is of, when it is still what the states say
    static constexpr std::size_t kNone = static_cast<std::size_t>(-1);
    std::shared_ptr<HiddenStates> m_states;
};

}  // namespace eigenscope
