// SPDX-License-Identifier: Apache-2.0
// What work that was asked to stop throws: a long op (Stream::checkStop) and everything that checks a
// JobContext. Deliberately not an Error: nothing went wrong.
#pragma once

#include <exception>

namespace eigenscope {

class Cancelled : public std::exception {
public:
    const char* what() const noexcept override { return "cancelled"; }
};

}  // namespace eigenscope
