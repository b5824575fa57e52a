// SPDX-License-Identifier: Apache-2.0
// The backends that tests of the engine run on.
#pragma once

#include "kernels/api/backend.h"

#include <memory>
#include <string>
#include <vector>

namespace eigenscope::test {

// The reference backend; created once.
std::shared_ptr<Backend> referenceBackend();
// Every host backend that this build has: "reference", "cpu". Each created once.
std::vector<std::shared_ptr<Backend>> hostBackends();
// One of them by name; null when this build has it not.
std::shared_ptr<Backend> hostBackend(const std::string& name);

}  // namespace eigenscope::test
