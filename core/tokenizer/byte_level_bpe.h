// SPDX-License-Identifier: Apache-2.0
// Byte pair encoding over bytes, the algorithm of GPT-2 and its successors: a word starts as one token a
// byte; the adjacent pair whose merge was learned first is joined, until no learned pair is left. Immutable;
// any thread.
#pragma once

#include "kernels/api/ops.h"

#include <array>
#include <cstdint>
#include <optional>
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

class ByteLevelBpe {
public:
    struct Model {
        std::unordered_map<std::string, TokenId>
            vocabulary;  // as written in the file, in byte-level characters
        std::vector<std::pair<std::string, std::string>> merges;  // first learned first, likewise
        std::optional<TokenId> unknown;  // for bytes without a token; else they are dropped
        bool fuse_unknown = false;       // neighbouring unknown bytes give one token
        bool whole_words_first = false;  // a word that is a token is never taken apart
    };
    // What is wrong with a model: names the first merge whose parts or result have no token. Empty: nothing.
    static std::optional<std::string> check(const Model& model);
    explicit ByteLevelBpe(Model model);  // check(model) must have passed

    void encodeWord(std::string_view bytes,
                    std::vector<TokenId>& ids) const;  // appends; O(n log n) in the bytes
    const std::string* text(TokenId id) const;  // as written in the file; null when no token has the id
    std::optional<TokenId> idOf(const std::string& text) const;
    TokenId endId() const { return static_cast<TokenId>(m_texts.size()); }  // one past the largest id
    std::size_t tokenCount() const { return m_vocabulary.size(); }

private:
    struct Merge {
        std::int32_t rank;
        TokenId id;
    };
    const Merge* mergeOf(TokenId left, TokenId right) const;

    std::unordered_map<std::string, TokenId> m_vocabulary;
    std::vector<std::optional<std::string>> m_texts;  // [endId()]
    std::array<std::optional<TokenId>, 256> m_byte_ids;
    std::unordered_map<std::uint64_t, Merge> m_merges;  // key: left id << 32 | right id
    std::optional<TokenId> m_unknown;
    bool m_fuse_unknown = false, m_whole_words_first = false;
};

}  // namespace eigenscope
