// SPDX-License-Identifier: Apache-2.0
// A tokenizer for models without one: text is a list of ids, "3 17 5"; decoding gives " 3 17 5".
#pragma once

#include "core/tokenizer/tokenizer.h"

namespace eigenscope::test {

class IdTokenizer final : public Tokenizer {
public:
    explicit IdTokenizer(std::int32_t size, std::vector<TokenId> eos = {}, std::optional<TokenId> bos = {})
        : m_size(size), m_eos(std::move(eos)), m_bos(bos) {}

    std::string description() const override { return "ids"; }
    std::int32_t size() const override { return m_size; }
    std::vector<TokenId> encode(std::string_view text, bool add_special,
                                const std::stop_token& stop) const override;
    std::string decode(std::span<const TokenId> ids, bool skip_special) const override;
    std::string piece(TokenId id) const override { return std::to_string(id); }
    std::optional<TokenId> bos() const override { return m_bos; }
    const std::vector<TokenId>& eos() const override { return m_eos; }
    bool isSpecial(TokenId) const override { return false; }

private:
    std::int32_t m_size;
    std::vector<TokenId> m_eos;
    std::optional<TokenId> m_bos;
};

}  // namespace eigenscope::test
