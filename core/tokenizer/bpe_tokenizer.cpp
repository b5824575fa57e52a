// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/bpe_tokenizer.h"

#include "core/tokenizer/utf8.h"
#include "kernels/api/cancelled.h"

#include <algorithm>

namespace eigenscope {

BpeTokenizer::BpeTokenizer(BpeParts parts, const TokenizerSettings& settings)
    : m_bpe(std::move(parts.model)),
      m_normalizer(std::move(parts.normalizer)),
      m_pre_tokenizer(std::move(parts.pre_tokenizer)),
      m_decoder(std::move(parts.decoder)) {
    const auto normalize = [this](const std::string& text) { return m_normalizer.apply(text); };
    for (const auto& [id, token] : parts.added)
        m_added.add(token, id, token.normalized ? normalize(token.content) : token.content);
    addSettingsTokens(
        settings, m_added, [this](const std::string& text) { return m_bpe.idOf(text); }, m_bpe.endId(),
        normalize);
    m_ends = findEndTokens(settings, m_added);
    if (parts.around) {
        m_before = std::move(parts.around->before);
        m_after = std::move(parts.around->after);
    } else {
        if (settings.add_bos.value_or(false) && m_ends.bos)
            m_before = {*m_ends.bos};
        if (settings.add_eos.value_or(false) && m_ends.eos_token)
            m_after = {*m_ends.eos_token};
    }
}

std::string BpeTokenizer::description() const {
    return (m_bpe.characters() ? "BPE, " : "byte-level BPE, ") + groupedNumber(size()) + " tokens";
}

std::int32_t BpeTokenizer::size() const {
    return std::max(m_bpe.endId(), m_added.largestId().value_or(-1) + 1);
}

std::vector<TokenId> BpeTokenizer::encode(std::string_view text, bool add_special,
                                          const std::stop_token& stop) const {
    std::vector<TokenId> ids;
    if (add_special)
        ids = m_before;
    const std::string valid = validUtf8(text);
    for (const AddedTokens::Segment& raw : m_added.split(valid, false)) {
        if (raw.id) {
            ids.push_back(*raw.id);
            continue;
        }
        const std::string normalized = m_normalizer.apply(raw.text);
        for (const AddedTokens::Segment& segment : m_added.split(normalized, true)) {
            if (segment.id) {
                ids.push_back(*segment.id);
                continue;
            }
            const bool at_start = raw.text.data() == valid.data() && segment.text.data() == normalized.data();
            std::string words_text(segment.text);
            for (const std::string_view word : m_pre_tokenizer.words(words_text, at_start, stop)) {
                if (stop.stop_requested())
                    throw Cancelled();
                m_bpe.encodeWord(word, ids, stop);
            }
        }
    }
    if (add_special)
        ids.insert(ids.end(), m_after.begin(), m_after.end());
    return ids;
}

std::string BpeTokenizer::bytesOf(TokenId id) const {
    if (const AddedToken* token = m_added.find(id)) {
        // Usually plain text, which may happen to consist of byte-level characters ("é" is one): then it is
        // no UTF-8.
        const std::string bytes = bytesOfByteLevelText(token->content);
        return validUtf8(bytes) == bytes ? bytes : token->content;
    }
    const std::string* text = m_bpe.text(id);
    return text ? bytesOfByteLevelText(*text) : std::string();
}

std::string BpeTokenizer::textOf(TokenId id) const {
    if (const AddedToken* token = m_added.find(id))
        return token->content;
    const std::string* text = m_bpe.text(id);
    return text ? *text : std::string();
}

std::string BpeTokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
    if (m_bpe.characters()) {
        std::vector<std::string> pieces;
        for (const TokenId id : ids) {
            if ((!skip_special || !isSpecial(id)) && (m_added.find(id) || m_bpe.text(id)))
                pieces.push_back(textOf(id));
        }
        return m_decoder.decode(pieces);
    }
    std::string text;
    for (const TokenId id : ids) {
        if (!skip_special || !isSpecial(id))
            text += bytesOf(id);
    }
    return text;
}

std::string BpeTokenizer::piece(TokenId id) const {
    return readablePiece(m_bpe.characters() ? textOf(id) : bytesOf(id));
}

std::string readablePiece(std::string_view bytes) {
    constexpr char kDigits[] = "0123456789ABCDEF";
    std::string text;
    while (!bytes.empty()) {
        const Utf8Character character = readUtf8(bytes);
        if (character.valid && character.code >= 0x20 && character.code != 0x7f) {
            text += bytes.substr(0, character.bytes);
        } else {
            for (std::size_t i = 0; i < character.bytes; ++i) {
                const auto byte = static_cast<unsigned char>(bytes[i]);
                text += {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
            }
        }
        bytes.remove_prefix(character.bytes);
    }
    return text;
}

std::string groupedNumber(std::int64_t number) {
    std::string text = std::to_string(number);
    for (auto i = static_cast<std::ptrdiff_t>(text.size()) - 3; i > 0; i -= 3)
        text.insert(static_cast<std::size_t>(i), 1, ',');
    return text;
}

}  // namespace eigenscope
