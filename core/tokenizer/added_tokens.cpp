// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/added_tokens.h"

#include "core/tokenizer/utf8.h"

#include <unicode/uchar.h>

namespace eigenscope {

namespace {

// \w of Unicode regular expressions (UTS #18, annex C).
bool isWord(char32_t code) {
    const auto c = static_cast<UChar32>(code);
    const int kMarks = U_GC_MN_MASK | U_GC_MC_MASK | U_GC_ME_MASK;
    return u_hasBinaryProperty(c, UCHAR_ALPHABETIC) ||
           (U_GET_GC_MASK(c) & (kMarks | U_GC_ND_MASK | U_GC_PC_MASK)) ||
           u_hasBinaryProperty(c, UCHAR_JOIN_CONTROL);
}

bool isSpace(char32_t code) { return u_isUWhiteSpace(static_cast<UChar32>(code)); }

// The last character of valid UTF-8.
Utf8Character lastCharacter(std::string_view text) {
    std::size_t start = text.size();
    while (start > 0 && (static_cast<unsigned char>(text[--start]) & 0xc0) == 0x80) {
    }
    return readUtf8(text.substr(start));
}

bool touchesWord(std::string_view text, std::size_t begin, std::size_t end) {
    return (begin > 0 && isWord(lastCharacter(text.substr(0, begin)).code)) ||
           (end < text.size() && isWord(readUtf8(text.substr(end)).code));
}

}  // namespace

void AddedTokens::Trie::insert(std::string_view text, TokenId id) {
    std::size_t node = 0;
    for (const char c : text) {
        const auto [child, added] = nodes[node].children.emplace(static_cast<unsigned char>(c), nodes.size());
        node = child->second;
        if (added)
            nodes.emplace_back();
    }
    nodes[node].id = id;
}

std::optional<std::pair<std::size_t, TokenId>> AddedTokens::Trie::longest(std::string_view text) const {
    std::optional<std::pair<std::size_t, TokenId>> found;
    std::size_t node = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const auto child = nodes[node].children.find(static_cast<unsigned char>(text[i]));
        if (child == nodes[node].children.end())
            break;
        node = child->second;
        if (nodes[node].id >= 0)
            found = {i + 1, nodes[node].id};
    }
    return found;
}

void AddedTokens::add(const AddedToken& token, TokenId id, const std::string& match_text) {
    if (token.content.empty() || match_text.empty())
        return;
    m_tokens[id] = token;
    m_ids[token.content] = id;
    (token.normalized ? m_normalized : m_raw).insert(match_text, id);
}

std::vector<AddedTokens::Segment> AddedTokens::split(std::string_view text, bool normalized) const {
    const Trie& trie = normalized ? m_normalized : m_raw;
    std::vector<Segment> segments;
    std::size_t rest = 0;  // start of what is not in a segment yet
    const auto flush = [&](std::size_t end) {
        if (end > rest)
            segments.push_back({text.substr(rest, end - rest), std::nullopt});
    };
    for (std::size_t i = 0; i < text.size();) {
        const auto match = trie.longest(text.substr(i));
        if (!match) {
            ++i;
            continue;
        }
        std::size_t begin = i, end = i + match->first;
        i = end;
        const AddedToken* token = find(match->second);
        // A token that was replaced by one with other rules may have left its text in the trie.
        if (!token || token->normalized != normalized)
            continue;
        if (token->single_word && touchesWord(text, begin, end))
            continue;
        while (token->lstrip && begin > rest) {
            const Utf8Character before = lastCharacter(text.substr(rest, begin - rest));
            if (!isSpace(before.code))
                break;
            begin -= before.bytes;
        }
        while (token->rstrip && end < text.size()) {
            const Utf8Character after = readUtf8(text.substr(end));
            if (!isSpace(after.code))
                break;
            end += after.bytes;
        }
        flush(begin);
        segments.push_back({text.substr(begin, end - begin), match->second});
        rest = i = end;
    }
    flush(text.size());
    return segments;
}

const AddedToken* AddedTokens::find(TokenId id) const {
    const auto found = m_tokens.find(id);
    return found == m_tokens.end() ? nullptr : &found->second;
}

std::optional<TokenId> AddedTokens::idOf(std::string_view content) const {
    const auto found = m_ids.find(content);
    return found == m_ids.end() ? std::nullopt : std::optional(found->second);
}

std::optional<TokenId> AddedTokens::largestId() const {
    return m_tokens.empty() ? std::nullopt : std::optional(m_tokens.rbegin()->first);
}

bool AddedTokens::isSpecial(TokenId id) const {
    const AddedToken* token = find(id);
    return token && token->special;
}

}  // namespace eigenscope
