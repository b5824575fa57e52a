// SPDX-License-Identifier: Apache-2.0
// The op benchmark: times the bench cases on one device, beside a large copy and large matrix products of the
// same run. Main thread.
#pragma once

#include "kernels/api/backend.h"

#include <string>

namespace eigenscope::optest {

struct BenchOptions {
    std::string filter;   // only cases whose name contains it
    std::string json;     // file to write; empty: none
    std::string command;  // as it was given, for the file
    int threads = 0;      // 0: the device's default
    bool all = false;     // also cases that take a host's processor long
};

// Prints a table, and writes the same to options.json. Throws Error when a case fails or the file cannot be
// written.
void runBench(const BenchOptions& options, Backend& device);

}  // namespace eigenscope::optest
