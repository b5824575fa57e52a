// SPDX-License-Identifier: Apache-2.0
// Names that a file brings, made fit for one line of a message. Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace eigenscope {

// 'name', cut to 80 bytes, with '?' for what is not printable ASCII.
std::string shownName(std::string_view name);

}  // namespace eigenscope
