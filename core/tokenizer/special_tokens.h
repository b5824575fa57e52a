// SPDX-License-Identifier: Apache-2.0
// What the small JSON files beside a tokenizer say: tokenizer_config.json, special_tokens_map.json,
// added_tokens.json and generation_config.json (config.json for the end token where nothing else names it).
// Every file may be absent.
#pragma once

#include "core/base/json.h"
#include "core/tokenizer/added_tokens.h"

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace eigenscope {

struct TokenizerSettings {
    std::string tokenizer_class;              // without a trailing "Fast"; empty when not given
    std::string model_type;                   // config.json
    std::map<std::string, AddedToken> named;  // "bos_token", "eos_token", "unk_token", "pad_token", ...
    std::vector<AddedToken> additional;       // further special tokens
    std::map<TokenId, AddedToken> added;      // by id
    std::optional<bool> add_bos, add_eos, add_prefix_space, legacy;
    std::vector<TokenId> generation_eos;  // generation_config.json
    std::vector<TokenId> config_eos;      // config.json
};

TokenizerSettings readTokenizerSettings(const std::filesystem::path& directory);

// A token written as text or as {"content": ..., "lstrip": ..., ...}.
AddedToken readAddedToken(const JsonView& value);

// The largest id a tokenizer file may use; keeps a damaged file from asking for all memory.
inline constexpr std::int64_t kMaxTokenId = 1 << 24;

// Puts the settings' tokens into `tokens`, as transformers does when it loads: those listed with an id first,
// then the named and additional special ones, which get a new id when neither `tokens` nor the model has one.
// `model_id` looks a text up in the model's vocabulary of `model_size` tokens; `normalize` prepares texts of
// normalized tokens.
void addSettingsTokens(const TokenizerSettings& settings, AddedTokens& tokens,
                       const std::function<std::optional<TokenId>(const std::string&)>& model_id,
                       TokenId model_size, const std::function<std::string(const std::string&)>& normalize);

// Ids of the named tokens, once addSettingsTokens() has run.
struct EndTokens {
    std::optional<TokenId> bos;
    std::vector<TokenId> eos;          // the tokens that end generation
    std::optional<TokenId> eos_token;  // the tokenizer's own, for add_eos
};
EndTokens findEndTokens(const TokenizerSettings& settings, const AddedTokens& tokens);

}  // namespace eigenscope
