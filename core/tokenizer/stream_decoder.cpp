// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/tokenizer.h"
#include "core/tokenizer/utf8.h"

namespace eigenscope {

namespace {
// Tokens kept for the tokenizer's own rules about beginnings (SentencePiece drops a leading space), and how
// many may gather before they are let go: decoding a window for each new token stays cheap.
constexpr std::size_t kKeptIds = 8, kMaxIds = 64;
}  // namespace

StreamDecoder::StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, std::span<const TokenId> context)
    : m_tokenizer(std::move(tokenizer)), m_ids(context.begin(), context.end()) {
    m_emitted = completeUtf8(m_tokenizer->decode(m_ids));
    forgetOldIds();
}

std::string StreamDecoder::append(TokenId id) {
    m_ids.push_back(id);
    const std::string text = m_tokenizer->decode(m_ids);
    const std::size_t complete = completeUtf8(text);
    std::string piece;
    if (complete > m_emitted) {
        piece = validUtf8(std::string_view(text).substr(m_emitted, complete - m_emitted));
        m_emitted = complete;
    }
    if (m_emitted == text.size())
        forgetOldIds();
    return piece;
}

std::string StreamDecoder::finish() {
    const std::string text = m_tokenizer->decode(m_ids);
    const std::string rest =
        m_emitted < text.size() ? validUtf8(std::string_view(text).substr(m_emitted)) : std::string();
    m_emitted = text.size();
    return rest;
}

void StreamDecoder::forgetOldIds() {
    if (m_ids.size() <= kMaxIds)
        return;
    const std::vector<TokenId> kept(m_ids.end() - kKeptIds, m_ids.end());
    const std::string text = m_tokenizer->decode(kept);
    // What is kept must show something: then its beginning is behind us, whatever follows.
    if (text.empty() || completeUtf8(text) != text.size())
        return;
    m_ids = kept;
    m_emitted = text.size();
}

}  // namespace eigenscope
