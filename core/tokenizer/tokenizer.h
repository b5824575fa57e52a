// SPDX-License-Identifier: Apache-2.0
// Text to token ids and back, exactly as Hugging Face transformers does for the same directory. Immutable;
// any thread.
#pragma once

#include "kernels/api/ops.h"

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

class Tokenizer {
public:
    virtual ~Tokenizer() = default;

    virtual std::string description() const = 0;  // "SentencePiece BPE, 32,000 pieces"
    virtual std::int32_t size() const = 0;        // ids are in [0, size())
    // Special tokens (bos) are put in front as the tokenizer's own configuration says when add_special is
    // true. Text that spells a special or added token becomes that token, as transformers does. Invalid UTF-8
    // becomes U+FFFD. Texts of many megabytes take minutes: a stop makes it throw Cancelled.
    virtual std::vector<TokenId> encode(std::string_view text, bool add_special = true,
                                        const std::stop_token& stop = {}) const = 0;
    // Bytes of the ids; may end within a UTF-8 character. Special tokens are left out when skip_special is
    // true.
    virtual std::string decode(std::span<const TokenId> ids, bool skip_special = true) const = 0;
    virtual std::string piece(
        TokenId id) const = 0;  // as shown in a token list: readable UTF-8, "<0x0A>" for a byte
    virtual std::optional<TokenId> bos() const = 0;
    virtual const std::vector<TokenId>& eos() const = 0;  // any of them ends generation; may be empty
    virtual bool isSpecial(TokenId id) const = 0;
};

// tokenizer.model, or tokenizer.json, or vocab.json + merges.txt; with tokenizer_config.json,
// special_tokens_map.json and generation_config.json where present.
std::shared_ptr<const Tokenizer> loadTokenizer(const std::filesystem::path& directory);
// Whether there is anything that loadTokenizer() would read, right or wrong.
bool hasTokenizer(const std::filesystem::path& directory);

// Turns a growing list of ids into text that never ends within a UTF-8 character. What decode() gives for all
// ids is the concatenation of what append() and finish() give. One thread.
class StreamDecoder {
public:
    explicit StreamDecoder(std::shared_ptr<const Tokenizer> tokenizer, std::span<const TokenId> context = {});
    std::string append(TokenId id);  // new complete text, possibly empty
    std::string finish();            // what is left, incomplete characters as U+FFFD

private:
    void forgetOldIds();

    std::shared_ptr<const Tokenizer> m_tokenizer;
    std::vector<TokenId> m_ids;  // the last ones: enough context for the tokenizer's own rules
    std::size_t m_emitted = 0;   // bytes of decode(m_ids) that have been handed out
};

}  // namespace eigenscope
