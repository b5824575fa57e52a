// SPDX-License-Identifier: Apache-2.0
// Positions that ops take from device memory, for backends whose device memory is the host's. Pure functions.
#pragma once

#include "kernels/api/error.h"
#include "kernels/api/ops.h"

#include <string>

namespace eigenscope {

inline std::int64_t& positionOf(RopeParams& p) { return p.first_position; }
inline std::int64_t& positionOf(KvAppendParams& p) { return p.position; }
inline std::int64_t& positionOf(AttentionParams& p) { return p.query_position; }

// The op at the position that it has now. Throws Error InvalidInput when that is not one that was allowed
// for.
template <typename Params>
Params atPosition(Params p) {
    if (!p.device_position)
        return p;
    const std::int64_t now = *p.device_position;
    if (now < 0 || now > positionOf(p))
        throw Error(ErrorCode::InvalidInput, "position " + std::to_string(now) +
                                                 " on the device is not within 0 to " +
                                                 std::to_string(positionOf(p)));
    positionOf(p) = now;
    p.device_position = nullptr;
    return p;
}

}  // namespace eigenscope
