// SPDX-License-Identifier: Apache-2.0
// From tokens made of characters back to text, as the decoders of tokenizer.json say: texts replaced within
// each token, tokens of bytes ("<0x0A>"), the beginning of the whole stripped. Immutable; any thread.
#pragma once

#include "core/tokenizer/normalizer.h"

#include <string>
#include <vector>

namespace eigenscope {

struct PieceDecoder {
    std::vector<ReplaceText> replacements;
    // Metaspace: the mark becomes a space, in the first token nothing where it was put in front.
    std::string metaspace;
    bool metaspace_prepended = false;
    bool byte_fallback = false;
    std::string strip;            // taken from the beginning of the text
    std::size_t strip_count = 0;  // at most so often

    // Bytes that form no character stay as they are: more of it may follow.
    std::string decode(const std::vector<std::string>& pieces) const;
};

}  // namespace eigenscope
