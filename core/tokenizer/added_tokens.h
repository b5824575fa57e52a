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
#include <utility>
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
    // A trie over bytes.
    struct Trie {
        struct Node {
            std::map<unsigned char, std::size_t> children;
            TokenId id = -1;  // -1: no token ends here
        };
        std::vector<Node> nodes = std::vector<Node>(1);  // the first is the root
        void insert(std::string_view text, TokenId id);
        // Length of the longest token at the start of `text`, and its id.
        std::optional<std::pair<std::size_t, TokenId>> longest(std::string_view text) const;
    };

    std::map<TokenId, AddedToken> m_tokens;
    std::map<std::string, TokenId, std::less<>> m_ids;
    Trie m_raw, m_normalized;
};

}  // namespace eigenscope
