// SPDX-License-Identifier: Apache-2.0
// Steps of one token that a backend may replay (Backend::replay): what changes from step to step lies in
// device memory, and what the recorded ops depend on makes a signature. For the transformer's own files.
#pragma once

#include "core/model/session.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace eigenscope {

// Where a call's first token is. A replayed step reads the position from the device; `position` is then the
// largest that its recording serves.
struct StepPosition {
    std::int64_t position = 0;
    const std::int64_t* device = nullptr;  // null: not replayed
    const TokenId* learned = nullptr;      // likewise: the id of the learned position
};

// What a step uploads beside its token ids.
struct StepInputs {
    std::int64_t position = 0;
    TokenId learned = 0;
};

// Positions of the sequence up to which a recorded step at `length` serves, at most `most`. Sizes rise by an
// eighth at a time: a recording serves many steps, and attention is shared out for little more than there is.
std::int64_t replayedLength(std::int64_t length, std::int64_t most);

// Uploads the cache's position for a step of one token.
StepPosition uploadStep(Session::State& state, const ModelConfig& config, const KvCache& cache);

// Of a step as Transformer::forward() queues it: equal only where every op's struct is. `model` is known by
// its owner, not by its address, which another model may have later.
std::vector<std::byte> stepSignature(Session::State& state, const std::shared_ptr<const Model>& model,
                                     const KvCache& cache, const StepPosition& at, LogitsOf which);

}  // namespace eigenscope
