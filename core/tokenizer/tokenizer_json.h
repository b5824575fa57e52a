// SPDX-License-Identifier: Apache-2.0
// Reading tokenizer.json, the format of the Hugging Face tokenizers library, where it describes a byte-level
// BPE. Anything else in it is refused by name. Pure functions; any thread.
#pragma once

#include "core/base/json.h"
#include "core/tokenizer/byte_level_tokenizer.h"

namespace eigenscope {

// Whether the file is for the reader below at all: a byte-level pre-tokenizer.
bool isByteLevelTokenizerJson(const JsonView& document);
ByteLevelParts readTokenizerJson(const JsonView& document, const TokenizerSettings& settings);

}  // namespace eigenscope
