// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/sentencepiece_tokenizer.h"

#include "core/base/fail.h"
#include "core/tokenizer/bpe_tokenizer.h"
#include "core/tokenizer/normalizer.h"
#include "core/tokenizer/sentencepiece_model_file.h"
#include "core/tokenizer/utf8.h"
#include "kernels/api/cancelled.h"

#include <algorithm>
#include <charconv>

namespace eigenscope {

namespace {

constexpr std::string_view kSpacePiece = "\xe2\x96\x81";  // U+2581, a space in pieces

void load(sentencepiece::SentencePieceProcessor& processor, const std::filesystem::path& file,
          const std::string& bytes) {
    const auto status = processor.LoadFromSerializedProto(bytes);
    if (!status.ok())
        failInput(file, "is not a SentencePiece model that can be loaded: " + std::string(status.message()));
}

// Whole lines, some 64 KiB, of a text that is longer: the library cannot be stopped within a call.
std::string_view firstLines(std::string_view text) {
    constexpr std::size_t kPart = std::size_t{1} << 16;
    const std::size_t end = text.find('\n', std::min(kPart, text.size()));
    return end == std::string_view::npos ? text : text.substr(0, end + 1);
}

std::string withSpaces(std::string_view piece) { return replaceAll(piece, kSpacePiece, " "); }

}  // namespace

SentencePieceTokenizer::SentencePieceTokenizer(const std::filesystem::path& file,
                                               const TokenizerSettings& settings) {
    const SentencePieceModelFile model = readSentencePieceModelFile(file);
    load(m_with_prefix, file, model.withPrefix(true));
    load(m_plain, file, model.withPrefix(false));
    m_algorithm = model.algorithm;
    m_removes_extra_whitespace = model.removes_extra_whitespace;
    m_lines_apart = model.lines_apart;
    m_prefix = settings.add_prefix_space.value_or(model.adds_prefix);
    m_every_segment = settings.legacy.value_or(false);
    addModelTokens(model.user_defined);
    const auto model_id = [this](const std::string& text) -> std::optional<TokenId> {
        const int id = m_plain.PieceToId(text);
        return m_plain.IdToPiece(id) == text ? std::optional<TokenId>(id)
                                             : std::nullopt;  // unknown: the id of <unk>
    };
    addSettingsTokens(settings, m_added, model_id, m_plain.GetPieceSize(),
                      [](const std::string& text) { return text; });
    m_ends = findEndTokens(settings, m_added);
    if (!m_ends.bos && m_plain.bos_id() >= 0)
        m_ends.bos = m_plain.bos_id();
    if (!m_ends.eos_token && m_plain.eos_id() >= 0)
        m_ends.eos_token = m_plain.eos_id();
    if (m_ends.eos.empty() && m_ends.eos_token)
        m_ends.eos = {*m_ends.eos_token};
    // LlamaTokenizer's documented defaults.
    if (settings.add_bos.value_or(true) && m_ends.bos)
        m_before = {*m_ends.bos};
    if (settings.add_eos.value_or(false) && m_ends.eos_token)
        m_after = {*m_ends.eos_token};
}

void SentencePieceTokenizer::addModelTokens(const std::vector<TokenId>& user_defined) {
    for (int id = 0; id < m_plain.GetPieceSize(); ++id) {
        AddedToken token;
        token.content = m_plain.IdToPiece(id);
        token.special = m_plain.IsControl(id) || m_plain.IsUnknown(id);
        if (token.special || std::binary_search(user_defined.begin(), user_defined.end(), id))
            m_added.add(token, id, token.content);
    }
}

std::string SentencePieceTokenizer::description() const {
    return "SentencePiece " + m_algorithm + ", " + groupedNumber(size()) + " pieces";
}

std::int32_t SentencePieceTokenizer::size() const {
    return std::max<std::int32_t>(m_plain.GetPieceSize(), m_added.largestId().value_or(-1) + 1);
}

void SentencePieceTokenizer::encodeSegment(std::string_view segment, bool at_start, std::vector<TokenId>& ids,
                                           const std::stop_token& stop) const {
    const bool wants_prefix = m_prefix && (m_every_segment || at_start);
    const bool has_space = segment.starts_with(' ') || segment.starts_with(kSpacePiece);
    // A space that is there already serves as the prefix; where the model removes leading spaces it has to be
    // put back.
    const bool prefix = m_removes_extra_whitespace ? wants_prefix || has_space : wants_prefix && !has_space;
    const auto* processor = prefix ? &m_with_prefix : &m_plain;
    std::vector<int> pieces;
    do {
        if (stop.stop_requested())
            throw Cancelled();
        const std::string_view part = m_lines_apart ? firstLines(segment) : segment;
        const auto status = processor->Encode(part, &pieces);
        if (!status.ok())
            failUnsupported("SentencePiece cannot encode this text: " + std::string(status.message()));
        ids.insert(ids.end(), pieces.begin(), pieces.end());
        segment.remove_prefix(part.size());
        processor = &m_plain;  // what follows is not a text's beginning
    } while (!segment.empty());
}

std::vector<TokenId> SentencePieceTokenizer::encode(std::string_view text, bool add_special,
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
        for (const AddedTokens::Segment& segment : m_added.split(raw.text, true)) {
            if (segment.id)
                ids.push_back(*segment.id);
            else
                encodeSegment(segment.text, segment.text.data() == valid.data(), ids, stop);
        }
    }
    if (add_special)
        ids.insert(ids.end(), m_after.begin(), m_after.end());
    return ids;
}

std::string SentencePieceTokenizer::bytesOf(TokenId id) const {
    if (const AddedToken* token = m_added.find(id))
        return withSpaces(token->content);
    if (id < 0 || id >= m_plain.GetPieceSize())
        return {};
    const std::string& piece = m_plain.IdToPiece(id);
    unsigned byte = 0;
    if (m_plain.IsByte(id) && piece.size() == 6) {  // "<0x0A>"
        std::from_chars(piece.data() + 3, piece.data() + piece.size() - 1, byte, 16);
        return std::string(1, static_cast<char>(byte));
    }
    return withSpaces(piece);
}

std::string SentencePieceTokenizer::decode(std::span<const TokenId> ids, bool skip_special) const {
    std::string text;
    for (const TokenId id : ids) {
        if (!skip_special || !isSpecial(id))
            text += bytesOf(id);
    }
    if (m_prefix && text.starts_with(' '))
        text.erase(0, 1);
    return text;
}

std::string SentencePieceTokenizer::piece(TokenId id) const {
    if (const AddedToken* token = m_added.find(id))
        return readablePiece(token->content);
    return id >= 0 && id < m_plain.GetPieceSize() ? readablePiece(m_plain.IdToPiece(id)) : std::string();
}

}  // namespace eigenscope
