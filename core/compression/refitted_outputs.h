// SPDX-License-Identifier: Apache-2.0
// Where refitted output projections go: into the model, or of a streamed one into a store beside its hidden
// states, from which each comes back with its layer. One thread sets; any thread runs the model.
#pragma once

#include "core/compression/attention_overlay.h"
#include "core/model/hidden_states.h"

#include <memory>

namespace eigenscope {

class RefittedOutputs {
public:
    // `model` is a copy of `converted`'s that is to be refitted; it must outlive this.
    RefittedOutputs(const OpenModel& converted, Model& model, const StateOptions& storage);
    void set(int layer, const Linear& output);

private:
    struct Store;
    Backend& m_backend;
    Model& m_model;
    std::shared_ptr<Store> m_store;  // null: the model is resident
    std::shared_ptr<AttentionOverlay> m_overlay;
};

}  // namespace eigenscope
