// SPDX-License-Identifier: Apache-2.0
// What the program does with a tokenizer once it is loaded. One thread.
#pragma once

#include "core/tokenizer/tokenizer.h"

namespace eigenscope::fuzz {

// Encodes a few texts, decodes the ids, whole and one by one, and looks at pieces; ends the process when an
// id is not one of the tokenizer's.
void use(const std::shared_ptr<const Tokenizer>& tokenizer);

}  // namespace eigenscope::fuzz
