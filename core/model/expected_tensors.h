// SPDX-License-Identifier: Apache-2.0
// Every tensor that a checkpoint of a configuration needs. A pure function.
#pragma once

#include "core/checkpoint/dummy_weights.h"
#include "core/model/model_config.h"

#include <vector>

namespace eigenscope {

// With names, shapes and what random weights fill them with (norms' weights with ones, biases with zeros).
// Optional tensors are left out.
std::vector<DummyTensor> expectedTensors(const ModelConfig& config);

}  // namespace eigenscope
