// SPDX-License-Identifier: Apache-2.0
// Stands where a model's tokenizer would: refuses text with a sentence that says why. Immutable; any thread.
#pragma once

#include "core/tokenizer/tokenizer.h"

namespace eigenscope {

class NoTokenizer final : public Tokenizer {
public:
    // `reason` follows the model's name in messages.
    explicit NoTokenizer(std::string model,
                         std::string reason =
                             "this model has no tokenizer, so nothing can be done with text; "
                             "open a checkpoint directory that has one")
        : m_model(std::move(model)), m_reason(std::move(reason)) {}

    std::string description() const override { return "none"; }
    std::int32_t size() const override { return 0; }
    // Both throw Unsupported.
    std::vector<TokenId> encode(std::string_view text, bool add_special,
                                const std::stop_token& stop) const override;
    std::string decode(std::span<const TokenId> ids, bool skip_special) const override;
    std::string piece(TokenId id) const override { return "<" + std::to_string(id) + ">"; }
    std::optional<TokenId> bos() const override { return std::nullopt; }
    const std::vector<TokenId>& eos() const override { return m_none; }
    bool isSpecial(TokenId) const override { return false; }

private:
    [[noreturn]] void refuse() const;

    std::string m_model, m_reason;
    std::vector<TokenId> m_none;
};

}  // namespace eigenscope
