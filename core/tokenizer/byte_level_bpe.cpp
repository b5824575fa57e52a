// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/byte_level_bpe.h"

#include "core/tokenizer/utf8.h"

#include <algorithm>
#include <queue>

namespace eigenscope {

namespace {

struct ByteAlphabet {
    std::array<char32_t, 256> code_of{};
    std::array<int, 512> byte_of{};  // -1: no byte

    constexpr ByteAlphabet() {
        byte_of.fill(-1);
        char32_t next = 256;
        for (unsigned byte = 0; byte < 256; ++byte) {
            const bool itself =
                (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
            code_of[byte] = itself ? byte : next++;
            byte_of[code_of[byte]] = static_cast<int>(byte);
        }
    }
};
constexpr ByteAlphabet kAlphabet;

std::uint64_t pairKey(TokenId left, TokenId right) {
    return (std::uint64_t{static_cast<std::uint32_t>(left)} << 32) | static_cast<std::uint32_t>(right);
}

// A token of the word while it is being merged; a doubly linked list in an array.
struct Symbol {
    TokenId id;
    std::int32_t previous, next;  // -1: none
    bool merged = false;          // joined into the one before
};

struct Candidate {
    std::int32_t rank;
    std::int32_t position;  // of the left symbol
    TokenId left, right, result;
    bool operator<(const Candidate& other) const {  // std::priority_queue puts the largest on top
        return rank != other.rank ? rank > other.rank : position > other.position;
    }
};

}  // namespace

std::string bytesOfByteLevelText(std::string_view text) {
    std::string bytes;
    bytes.reserve(text.size());
    for (std::string_view rest = text; !rest.empty();) {
        const Utf8Character character = readUtf8(rest);
        if (!character.valid || character.code >= 512 || kAlphabet.byte_of[character.code] < 0)
            return std::string(text);
        bytes += static_cast<char>(kAlphabet.byte_of[character.code]);
        rest.remove_prefix(character.bytes);
    }
    return bytes;
}

std::string byteLevelText(std::string_view bytes) {
    std::string text;
    for (const char c : bytes)
        appendUtf8(text, kAlphabet.code_of[static_cast<unsigned char>(c)]);
    return text;
}

std::optional<std::string> ByteLevelBpe::check(const Model& model) {
    for (std::size_t i = 0; i < model.merges.size(); ++i) {
        const auto& [left, right] = model.merges[i];
        for (const std::string& text : {left, right, left + right}) {
            if (!model.vocabulary.contains(text))
                return "merge " + std::to_string(i) + " ('" + left + " " + right + "'): '" + text +
                       "' is not in the vocabulary";
        }
    }
    return std::nullopt;
}

ByteLevelBpe::ByteLevelBpe(Model model)
    : m_vocabulary(std::move(model.vocabulary)),
      m_unknown(model.unknown),
      m_fuse_unknown(model.fuse_unknown),
      m_whole_words_first(model.whole_words_first) {
    TokenId end = 0;
    for (const auto& [text, id] : m_vocabulary)
        end = std::max(end, id + 1);
    m_texts.resize(end);
    for (const auto& [text, id] : m_vocabulary)
        m_texts[id] = text;
    for (unsigned byte = 0; byte < 256; ++byte)
        m_byte_ids[byte] = idOf(byteLevelText(std::string(1, static_cast<char>(byte))));
    m_merges.reserve(model.merges.size());
    std::int32_t rank = 0;
    for (const auto& [left, right] : model.merges) {
        // A pair that is listed twice has the later rank, as in the library.
        m_merges[pairKey(m_vocabulary.at(left), m_vocabulary.at(right))] = {rank++,
                                                                            m_vocabulary.at(left + right)};
    }
}

const ByteLevelBpe::Merge* ByteLevelBpe::mergeOf(TokenId left, TokenId right) const {
    const auto found = m_merges.find(pairKey(left, right));
    return found == m_merges.end() ? nullptr : &found->second;
}

void ByteLevelBpe::encodeWord(std::string_view bytes, std::vector<TokenId>& ids) const {
    if (m_whole_words_first) {
        if (const auto id = idOf(byteLevelText(bytes))) {
            ids.push_back(*id);
            return;
        }
    }
    std::vector<Symbol> symbols;
    symbols.reserve(bytes.size());
    bool after_unknown = false;
    for (const char c : bytes) {
        std::optional<TokenId> id = m_byte_ids[static_cast<unsigned char>(c)];
        const bool unknown = !id;
        if (unknown)
            id = after_unknown && m_fuse_unknown ? std::nullopt : m_unknown;
        after_unknown = unknown;
        if (!id)
            continue;
        const auto position = static_cast<std::int32_t>(symbols.size());
        symbols.push_back({*id, position - 1, position + 1});
    }
    if (symbols.empty())
        return;
    symbols.back().next = -1;

    std::priority_queue<Candidate> queue;
    const auto consider = [&](std::int32_t left) {
        const std::int32_t right = left < 0 ? -1 : symbols[left].next;
        if (right < 0)
            return;
        if (const Merge* merge = mergeOf(symbols[left].id, symbols[right].id))
            queue.push({merge->rank, left, symbols[left].id, symbols[right].id, merge->id});
    };
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(symbols.size()); ++i)
        consider(i);
    while (!queue.empty()) {
        const Candidate best = queue.top();
        queue.pop();
        Symbol& left = symbols[best.position];
        // Merges around it may have changed either side since it was queued.
        if (left.merged || left.id != best.left || left.next < 0 || symbols[left.next].id != best.right)
            continue;
        Symbol& right = symbols[left.next];
        left.id = best.result;
        left.next = right.next;
        right.merged = true;
        if (left.next >= 0)
            symbols[left.next].previous = best.position;
        consider(left.previous);
        consider(best.position);
    }
    for (std::int32_t i = 0; i >= 0; i = symbols[i].next)
        ids.push_back(symbols[i].id);
}

const std::string* ByteLevelBpe::text(TokenId id) const {
    return id >= 0 && id < endId() && m_texts[id] ? &*m_texts[id] : nullptr;
}

std::optional<TokenId> ByteLevelBpe::idOf(const std::string& text) const {
    const auto found = m_vocabulary.find(text);
    return found == m_vocabulary.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace eigenscope
