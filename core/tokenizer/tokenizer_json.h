// SPDX-License-Identifier: Apache-2.0
// Reading tokenizer.json, the format of the Hugging Face tokenizers library, where it describes a BPE, of
// bytes or of characters. Anything else in it is refused by name. Pure functions; any thread.
#pragma once

#include "core/base/json.h"
#include "core/tokenizer/bpe_tokenizer.h"

namespace eigenscope {

// Whether tokens are made of bytes: it has a byte-level pre-tokenizer.
bool isByteLevelTokenizerJson(const JsonView& document);
BpeParts readTokenizerJson(const JsonView& document, const TokenizerSettings& settings);

}  // namespace eigenscope
