// SPDX-License-Identifier: Apache-2.0
// Reading vocab.json and merges.txt, the two files of GPT-2's tokenizer (OPT has them too). Pure; any thread.
#pragma once

#include "core/tokenizer/bpe_tokenizer.h"

namespace eigenscope {

BpeParts readVocabMerges(const std::filesystem::path& vocabulary, const std::filesystem::path& merges,
                         const TokenizerSettings& settings);

}  // namespace eigenscope
