// SPDX-License-Identifier: Apache-2.0
// Byte pair encoding, the algorithm of GPT-2 and its successors: a word starts as one token a byte, or a
// character where the vocabulary is one of characters (Llama 2); the adjacent pair whose merge was learned
// first is joined, until no learned pair is left. Immutable; any thread.
#pragma once

#include "kernels/api/ops.h"

#include <array>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace eigenscope {

// Vocabularies write bytes as printable characters: bytes 0x21-0x7E, 0xA1-0xAC and 0xAE-0xFF as themselves,
// the others as U+0100, U+0101, ... in order (a space is U+0120, "Ġ"). Text with any other character is
// returned as it is.
std::string bytesOfByteLevelText(std::string_view text);
std::string byteLevelText(std::string_view bytes);

// "<0x0A>", as vocabularies of characters write bytes.
std::string byteToken(unsigned char byte);
std::optional<unsigned char> byteOfToken(std::string_view token);

class BytePairEncoding {
public:
    struct Model {
        std::unordered_map<std::string, TokenId> vocabulary;      // as written in the file
        std::vector<std::pair<std::string, std::string>> merges;  // first learned first, likewise
        bool characters = false;         // tokens are made of characters, else of byte-level characters
        bool byte_fallback = false;      // characters without a token become tokens "<0x0A>" of their bytes
        std::optional<TokenId> unknown;  // for symbols without a token; else they are dropped
        bool fuse_unknown = false;       // neighbouring unknown symbols give one token
        bool whole_words_first = false;  // a word that is a token is never taken apart
    };
    // What is wrong with a model: names the first merge whose parts or result have no token. Empty: nothing.
    static std::optional<std::string> check(const Model& model);
    explicit BytePairEncoding(Model model);  // check(model) must have passed

    // Appends; O(n log n) in the bytes. Valid UTF-8 where tokens are made of characters.
    // A stop makes it throw Cancelled: a word may be all of a long text.
    void encodeWord(std::string_view word, std::vector<TokenId>& ids, const std::stop_token& stop = {}) const;
    bool characters() const { return m_characters; }
    const std::string* text(TokenId id) const;  // as written in the file; null when no token has the id
    std::optional<TokenId> idOf(const std::string& text) const;
    TokenId endId() const { return m_end; }  // one past the largest id
    std::size_t tokenCount() const { return m_vocabulary.size(); }

private:
    struct Merge {
        std::int32_t rank;
        TokenId id;
    };
    const Merge* mergeOf(TokenId left, TokenId right) const;
    std::vector<TokenId> symbolsOf(std::string_view word, const std::stop_token& stop) const;
    bool appendBytes(std::string_view character, std::vector<TokenId>& ids) const;

    std::unordered_map<std::string, TokenId> m_vocabulary;
    // Not a list by id: a file of two tokens may give one of them the largest id.
    std::unordered_map<TokenId, std::string> m_texts;
    TokenId m_end = 0;
    std::array<std::optional<TokenId>, 256> m_byte_ids;  // of byte-level characters, or of "<0x0A>"
    std::unordered_map<std::uint64_t, Merge> m_merges;   // key: left id << 32 | right id
    std::optional<TokenId> m_unknown;
    bool m_characters = false, m_byte_fallback = false, m_fuse_unknown = false, m_whole_words_first = false;
};

}  // namespace eigenscope
