// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/piece_decoder.h"

#include "core/tokenizer/byte_pair_encoding.h"

namespace eigenscope {

std::string PieceDecoder::decode(const std::vector<std::string>& pieces) const {
    std::string text;
    bool first = true;
    for (std::string piece : pieces) {
        for (const ReplaceText& replace : replacements)
            piece = replaceAll(piece, replace.from, replace.to);
        if (!metaspace.empty())
            piece = replaceAll(piece, metaspace, first && metaspace_prepended ? "" : " ");
        first = false;
        const auto byte = byte_fallback ? byteOfToken(piece) : std::nullopt;
        if (byte)
            text += static_cast<char>(*byte);
        else
            text += piece;
    }
    for (std::size_t i = 0; i < strip_count && text.starts_with(strip); ++i)
        text.erase(0, strip.size());
    return text;
}

}  // namespace eigenscope
