// SPDX-License-Identifier: Apache-2.0
// tokenizer.model: the SentencePiece library, with the rules that transformers' LlamaTokenizer puts around it
// (added and special tokens in text, the space in front, bos and eos). Immutable; any thread.
#pragma once

#include "core/tokenizer/added_tokens.h"
#include "core/tokenizer/special_tokens.h"
#include "core/tokenizer/tokenizer.h"

#include <sentencepiece_processor.h>

namespace eigenscope {

class SentencePieceTokenizer final : public Tokenizer {
public:
    SentencePieceTokenizer(const std::filesystem::path& file, const TokenizerSettings& settings);

    std::string description() const override;
    std::int32_t size() const override;
    std::vector<TokenId> encode(std::string_view text, bool add_special,
                                const std::stop_token& stop) const override;
    std::string decode(std::span<const TokenId> ids, bool skip_special) const override;
    std::string piece(TokenId id) const override;
    std::optional<TokenId> bos() const override { return m_ends.bos; }
    const std::vector<TokenId>& eos() const override { return m_ends.eos; }
    bool isSpecial(TokenId id) const override { return m_added.isSpecial(id); }

private:
    void addModelTokens(const std::vector<TokenId>& user_defined);
    void encodeSegment(std::string_view segment, bool at_start, std::vector<TokenId>& ids,
                       const std::stop_token& stop) const;
    std::string bytesOf(TokenId id) const;

    // The model with and without a space put before the text.
    sentencepiece::SentencePieceProcessor m_with_prefix, m_plain;
    AddedTokens m_added;
    EndTokens m_ends;
    std::string m_algorithm;
    bool m_prefix = true;          // text gets a space in front, decoded text loses it
    bool m_every_segment = false;  // so does the text after each special token ("legacy")
    bool m_removes_extra_whitespace = false;
    bool m_lines_apart = false;  // SentencePieceModelFile::lines_apart
    std::vector<TokenId> m_before, m_after;
};

}  // namespace eigenscope
