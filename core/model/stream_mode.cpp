// SPDX-License-Identifier: Apache-2.0
#include "core/model/stream_mode.h"

#include "core/base/process_memory.h"

#include <algorithm>
#include <string>

namespace eigenscope {

std::string_view nameOf(StreamMode mode) {
    switch (mode) {
        case StreamMode::On:
            return "on";
        case StreamMode::Off:
            return "off";
        case StreamMode::Auto:
            break;
    }
    return "auto";
}

StreamMode streamModeFromName(std::string_view name) {
    for (StreamMode mode : {StreamMode::Auto, StreamMode::On, StreamMode::Off}) {
        if (name == nameOf(mode)) {
            return mode;
        }
    }
    throw Error(ErrorCode::InvalidInput, "stream: expected auto, on or off, found " + std::string(name));
}

std::int64_t availableMemory(const Backend& backend) {
    const auto available = static_cast<std::int64_t>(backend.memory().available_bytes);
    if (!backend.info().host_accessible) {
        return available;
    }
    return std::min(available, limitRoom().value_or(available));
}

bool shouldStream(const Backend& backend, const Checkpoint& checkpoint, StreamMode mode) {
    if (mode != StreamMode::Auto) {
        return mode == StreamMode::On;
    }
    if (checkpoint.hasDummyWeights() && backend.info().host_accessible) {
        return false;
    }
    const auto room = static_cast<double>(availableMemory(backend));
    return static_cast<double>(checkpoint.weightBytes()) > kResidentShare * room;
}

}  // namespace eigenscope
