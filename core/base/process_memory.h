// SPDX-License-Identifier: Apache-2.0
// What this process may take of the host's memory, and what it has taken. Linux's /proc and cgroup v2. Any
// thread.
#pragma once

#include <cstdint>
#include <optional>

namespace eigenscope {

// What is left under the process's limits (RLIMIT_AS, RLIMIT_DATA) and its control group's (memory.max of it
// and of those above); empty without any limit.
std::optional<std::int64_t> limitRoom();

// What the host has for new allocations now: its own available memory, within limitRoom().
std::int64_t availableHostBytes();

// Resident memory now and at its highest, pages of mapped files included (VmRSS, VmHWM); 0 where unknown.
std::int64_t residentBytes();
std::int64_t peakResidentBytes();

}  // namespace eigenscope
