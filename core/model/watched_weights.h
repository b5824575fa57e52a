// SPDX-License-Identifier: Apache-2.0
// Seeing a streamed model run: a pass over it takes as long as reading it, and what is asked for says how far
// it is. Any thread.
#pragma once

#include "core/model/model.h"

#include <functional>
#include <memory>

namespace eigenscope {

// Parts that one pass asks for, embedding and head included; 0 of a model that is held.
int streamedParts(const Model& model);

// In the thread that asks, before it waits for the part: 0 is the embedding, then layers, last the head.
using PartSink = std::function<void(int part)>;
// A model that says so, or `model` itself when it is held.
std::shared_ptr<const Model> watched(std::shared_ptr<const Model> model, PartSink sink);

}  // namespace eigenscope
