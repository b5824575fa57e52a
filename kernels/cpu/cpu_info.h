// SPDX-License-Identifier: Apache-2.0
// What the backend knows about the machine it runs on: name, threads, instructions, memory. Reads /proc and
// the process's control group; safe from any thread.
#pragma once

#include "kernels/api/backend.h"

namespace eigenscope::cpu {

DeviceInfo describeCpu();
// Total and available host memory, within the limits of the process's control group.
MemoryStats hostMemory();
// "AVX-512", "AVX2", "SSE4", ...: the instruction set that the kernels were dispatched to.
const char* instructionSet();

}  // namespace eigenscope::cpu
