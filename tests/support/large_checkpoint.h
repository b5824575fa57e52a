// SPDX-License-Identifier: Apache-2.0
// A checkpoint that is large for a test: written layer by layer, in little memory and time, sharded like
// those that people have.
#pragma once

#include "core/base/json.h"

#include <cstdint>
#include <filesystem>

namespace eigenscope::test {

// config.json, shards of about `shard_bytes` and their index in `directory`, which is created. F32; uniform
// numbers of the usual deviations, the same for the same configuration everywhere. Returns the bytes of all
// weights.
std::int64_t writeLargeCheckpoint(const std::filesystem::path& directory, const Json& config,
                                  std::int64_t shard_bytes);

}  // namespace eigenscope::test
