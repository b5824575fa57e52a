// SPDX-License-Identifier: Apache-2.0
// Whether a model's weights are held or streamed. Any thread.
#pragma once

#include "core/checkpoint/checkpoint.h"
#include "kernels/api/backend.h"

#include <cstdint>
#include <string_view>

namespace eigenscope {

enum class StreamMode : std::uint8_t {
    Auto,  // streamed when the weights do not fit the device's memory with room to spare
    On,    // one layer's weights at a time
    Off,   // all weights at once: shared with the mapped files where the device can
};
std::string_view nameOf(StreamMode mode);  // "auto", "on", "off"
StreamMode streamModeFromName(std::string_view name);

// Of the device's memory that is available, what weights that are held may take: the rest is for caches,
// activations, and whoever else uses the machine.
inline constexpr double kResidentShare = 0.8;

// What can be allocated on the device now. On the host, within the process's limits and those of its control
// group too.
std::int64_t availableMemory(const Backend& backend);

// Random weights take next to nothing on the host, whatever their size, and are held there.
bool shouldStream(const Backend& backend, const Checkpoint& checkpoint, StreamMode mode);

}  // namespace eigenscope
