// SPDX-License-Identifier: Apache-2.0
// The one exception type of the engine. what() is a single line fit to be shown to the user: it names the
// file or argument, the field, and what was expected.
#pragma once

#include <stdexcept>
#include <string>

namespace eigenscope {

enum class ErrorCode {
    InvalidInput,  // a file or an argument says something impossible
    Unsupported,   // well formed, but not something this program or device can do
    OutOfMemory,   // host or device memory
    Io,            // the operating system refused (open, read, write, rename)
    Device,        // a driver or library of the device failed
};

class Error : public std::runtime_error {
public:
    Error(ErrorCode code, const std::string& message) : std::runtime_error(message), m_code(code) {}
    ErrorCode code() const noexcept { return m_code; }

private:
    ErrorCode m_code;
};

}  // namespace eigenscope
