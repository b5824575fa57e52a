// SPDX-License-Identifier: Apache-2.0
// Tokens that are recognised in text before the tokenizer's own algorithm sees it: special tokens ("</s>")
// and tokens added later. The rules are those of the Hugging Face tokenizers library: the leftmost match
// wins, the longest of those; tokens that are not `normalized` are looked for in the raw text, the others in
// the normalised rest. Built once, then immutable; any thread.
#pragma once

#include "kernels/api/ops.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace eigenscope {

struct AddedToken {
    std::string content;
    bool single_word = false;  // only where no letter, digit or mark touches it
    bool lstrip = false;       // takes the white space before it along
    bool rstrip = false;       // and after it
    bool normalized = false;   // looked for in normalised text
    bool special = false;      // left out of decoded text on request
};

class AddedTokens {
public:
    // A token of the same content is replaced. `match_text` is what to look for: the normalised content for
    // `normalized` tokens.
    void add(const AddedToken& token, TokenId id, const std::string& match_text);

    struct Segment {
        std::string_view text;      // of the text that was split
        std::optional<TokenId> id;  // set: this is a token, else ordinary text (never empty)
    };
    // Splits at the tokens whose `normalized` is as given.
    std::vector<Segment> split(std::string_view text, bool normalized) const;

    bool empty() const { return m_tokens.empty(); }
    const AddedToken* find(TokenId id) const;
    std::optional<TokenId> idOf(std::string_view content) const;
    std::optional<TokenId> largestId() const;
    bool isSpecial(TokenId id) const;

private:
    // A trie over bytes; node 0 is the root.
    struct Trie {
        std::vector<std::map<unsigned char, int>> children{1};
        std::vector<std::optional<TokenId>> ids{1};
        void insert(std::string_view text, TokenId id);
        // Length of the longest token at the start of `text`, and its id.
        std::optional<std::pair<std::size_t, TokenId>> longest(std::string_view text) const;
    };

    std::map<TokenId, AddedToken> m_tokens;
    std::map<std::string, TokenId, std::less<>> m_ids;
    Trie m_raw, m_normalized;
};

}  // namespace eigenscope
