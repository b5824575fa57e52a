// SPDX-License-Identifier: Apache-2.0
// Tokenizers by byte pair encoding: byte-level ones (GPT-2, OPT, GPT-NeoX, MPT, Llama 3, Qwen 2) and those
// of characters with a mark for spaces, converted from SentencePiece (Llama 2, TinyLlama, Mistral). Added
// tokens, normalisation, words, byte pair encoding, and back. Immutable; any thread.
#pragma once

#include "core/tokenizer/added_tokens.h"
#include "core/tokenizer/byte_pair_encoding.h"
#include "core/tokenizer/normalizer.h"
#include "core/tokenizer/piece_decoder.h"
#include "core/tokenizer/pre_tokenizer.h"
#include "core/tokenizer/special_tokens.h"
#include "core/tokenizer/tokenizer.h"

namespace eigenscope {

// What a directory's files say, whichever they are.
struct BpeParts {
    BytePairEncoding::Model model;
    Normalizer normalizer;
    PreTokenizer pre_tokenizer;
    PieceDecoder decoder;  // where tokens are made of characters
    std::vector<std::pair<TokenId, AddedToken>> added;
    // Special tokens around a text. Empty: tokenizer_config.json's add_bos_token and add_eos_token decide.
    struct Around {
        std::vector<TokenId> before, after;
    };
    std::optional<Around> around;
};

class BpeTokenizer final : public Tokenizer {
public:
    BpeTokenizer(BpeParts parts, const TokenizerSettings& settings);

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
    std::string textOf(TokenId id) const;  // as the file writes it
    std::string bytesOf(TokenId id) const;

    BytePairEncoding m_bpe;
    Normalizer m_normalizer;
    PreTokenizer m_pre_tokenizer;
    PieceDecoder m_decoder;
    AddedTokens m_added;
    EndTokens m_ends;
    std::vector<TokenId> m_before, m_after;
};

// Bytes as text for a token list: well-formed characters as they are, other bytes and control characters as
// "<0x0A>".
std::string readablePiece(std::string_view bytes);
// "50,257"
std::string groupedNumber(std::int64_t number);

}  // namespace eigenscope
