// SPDX-License-Identifier: Apache-2.0
// Throwing errors that name the file, the field and what was expected, in one line.
#pragma once

#include "kernels/api/error.h"

#include <filesystem>
#include <string_view>

namespace eigenscope {

// "<file>: <message>"
[[noreturn]] void failInput(const std::filesystem::path& file, std::string_view message);
// "<file>: <field>: <message>"
[[noreturn]] void failField(const std::filesystem::path& file, std::string_view field,
                            std::string_view message);
// "<file>: cannot <action>: <strerror(error)>"
[[noreturn]] void failIo(const std::filesystem::path& file, std::string_view action, int error);
[[noreturn]] void failUnsupported(std::string_view message);

}  // namespace eigenscope
