// SPDX-License-Identifier: Apache-2.0
// Runs of ops that follow each other in a layer, as one call, so that a backend can do them in fewer launches
// and passes over memory. Each means the ops that it names, one after the other (Backend does just that
// unless a backend knows better); what passes between them is undefined afterwards.
#pragma once

#include "kernels/api/ops.h"

#include <array>

namespace eigenscope {

// Products of the same rows, which may be normalised first.
struct ProjectParams {
    const NormParams* norm = nullptr;    // its y is x of every product, and undefined afterwards; or null
    std::array<GemmParams, 3> products;  // of the same x, m, k and compute; their y do not overlap
    std::int32_t count = 0;              // of products, 1 to 3
};

// The products, an activation of theirs, and the product that leads back. With one product activate.x is its
// y; with two activate.x and activate.gate are theirs. down.x is activate.y.
struct MlpParams {
    ProjectParams project;    // what its products leave in y is undefined afterwards
    ActivateParams activate;  // so is y
    GemmParams down;
};

// Rotates queries and keys in place and appends keys and values to the cache. Rotated keys are undefined in
// their array afterwards.
struct RotateAndAppendParams {
    const RopeParams* query_rotation = nullptr;  // or null
    const RopeParams* key_rotation = nullptr;    // its x is keys.x; or null
    KvAppendParams keys, values;                 // of the same batch, length and position
};

}  // namespace eigenscope
