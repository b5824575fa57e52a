// SPDX-License-Identifier: Apache-2.0
// The text of an expected error. Any thread.
#pragma once

#include "core/base/fail.h"

#include <string>

namespace eigenscope::test {

// what() of the Error that `operation` throws; "" when it throws none.
template <typename Operation>
std::string errorOf(const Operation& operation) {
    try {
        operation();
    } catch (const Error& error) {
        return error.what();
    }
    return {};
}

}  // namespace eigenscope::test
