// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/byte_pair_encoding.h"

#include "core/tokenizer/utf8.h"
#include "kernels/api/cancelled.h"

#include <algorithm>
#include <charconv>
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

void checkStop(const std::stop_token& stop) {
    if (stop.stop_requested())
        throw Cancelled();
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

std::string byteToken(unsigned char byte) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    return {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
}

std::optional<unsigned char> byteOfToken(std::string_view token) {
    unsigned char byte = 0;
    if (token.size() != 6 || !token.starts_with("<0x") || token.back() != '>')
        return std::nullopt;
    const char* const end = token.data() + 5;
    const auto [stop, error] = std::from_chars(token.data() + 3, end, byte, 16);
    return error == std::errc() && stop == end ? std::optional(byte) : std::nullopt;
}

std::optional<std::string> BytePairEncoding::check(const Model& model) {
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

BytePairEncoding::BytePairEncoding(Model model)
    : m_vocabulary(std::move(model.vocabulary)),
      m_unknown(model.unknown),
      m_characters(model.characters),
      m_byte_fallback(model.byte_fallback),
      m_fuse_unknown(model.fuse_unknown),
      m_whole_words_first(model.whole_words_first) {
    for (const auto& [text, id] : m_vocabulary) {
        m_end = std::max(m_end, id + 1);
        m_texts[id] = text;
    }
    for (unsigned byte = 0; byte < 256; ++byte)
        m_byte_ids[byte] = idOf(m_characters ? byteToken(static_cast<unsigned char>(byte))
                                             : byteLevelText(std::string(1, static_cast<char>(byte))));
    m_merges.reserve(model.merges.size());
    std::int32_t rank = 0;
    for (const auto& [left, right] : model.merges) {
        // A pair that is listed twice has the later rank, as in the library.
        m_merges[pairKey(m_vocabulary.at(left), m_vocabulary.at(right))] = {rank++,
                                                                            m_vocabulary.at(left + right)};
    }
}

const BytePairEncoding::Merge* BytePairEncoding::mergeOf(TokenId left, TokenId right) const {
    const auto found = m_merges.find(pairKey(left, right));
    return found == m_merges.end() ? nullptr : &found->second;
}

bool BytePairEncoding::appendBytes(std::string_view character, std::vector<TokenId>& ids) const {
    const auto idOfByte = [this](char byte) { return m_byte_ids[static_cast<unsigned char>(byte)]; };
    if (!std::all_of(character.begin(), character.end(),
                     [&](char byte) { return idOfByte(byte).has_value(); }))
        return false;
    for (const char byte : character)
        ids.push_back(*idOfByte(byte));
    return true;
}

// What merging starts from.
std::vector<TokenId> BytePairEncoding::symbolsOf(std::string_view word, const std::stop_token& stop) const {
    std::vector<TokenId> ids;
    ids.reserve(word.size());
    // As in the library, an unknown symbol is written when a known one follows, after the bytes of others.
    bool pending = false;
    const auto flush = [&] {
        if (pending)
            ids.push_back(*m_unknown);
        pending = false;
    };
    for (std::size_t begin = 0; begin < word.size();) {
        checkStop(stop);
        const std::size_t length = m_characters ? readUtf8(word.substr(begin)).bytes : 1;
        const std::string_view symbol = word.substr(begin, length);
        begin += length;
        const std::optional<TokenId> id =
            m_characters ? idOf(std::string(symbol)) : m_byte_ids[static_cast<unsigned char>(symbol[0])];
        if (id) {
            flush();
            ids.push_back(*id);
        } else if (m_characters && m_byte_fallback && appendBytes(symbol, ids)) {
            continue;
        } else if (m_unknown) {
            if (!m_fuse_unknown)
                flush();
            pending = true;
        }
    }
    flush();
    return ids;
}

void BytePairEncoding::encodeWord(std::string_view word, std::vector<TokenId>& ids,
                                  const std::stop_token& stop) const {
    if (m_whole_words_first) {
        if (const auto id = idOf(m_characters ? std::string(word) : byteLevelText(word))) {
            ids.push_back(*id);
            return;
        }
    }
    std::vector<Symbol> symbols;
    for (const TokenId id : symbolsOf(word, stop)) {
        const auto position = static_cast<std::int32_t>(symbols.size());
        symbols.push_back({id, position - 1, position + 1});
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
    for (std::int32_t i = 0; i < static_cast<std::int32_t>(symbols.size()); ++i) {
        checkStop(stop);
        consider(i);
    }
    while (!queue.empty()) {
        checkStop(stop);
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

const std::string* BytePairEncoding::text(TokenId id) const {
    const auto found = m_texts.find(id);
    return found == m_texts.end() ? nullptr : &found->second;
}

std::optional<TokenId> BytePairEncoding::idOf(const std::string& text) const {
    const auto found = m_vocabulary.find(text);
    return found == m_vocabulary.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace eigenscope
