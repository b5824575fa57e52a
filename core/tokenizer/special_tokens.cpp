// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/special_tokens.h"

#include "core/base/regular_file.h"

#include <charconv>

namespace eigenscope {

namespace fs = std::filesystem;

namespace {

// Named tokens that transformers knows; other "*_token" entries are model specific and special as well.
constexpr const char* kNamedTokens[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
// tokenizer_config.json's switches, not tokens.
constexpr const char* kSwitches[] = {"add_bos_token", "add_eos_token"};

struct Document {
    Json json;
    fs::path file;
    JsonView view() const { return JsonView(json, file); }
};

std::optional<Document> readOptional(const fs::path& file) {
    if (!hasRegularFile(file))
        return std::nullopt;
    Document document{readJsonFile(file), file};
    if (!document.json.is_object())
        document.view().fail("expected a JSON object");
    return document;
}

std::optional<bool> optionalBoolean(const JsonView& view, std::string_view key) {
    const auto found = view.find(key);
    return found ? std::optional(found->boolean()) : std::nullopt;
}

void readNamedTokens(const JsonView& view, TokenizerSettings& settings) {
    for (const auto& [key, value] : view.json().items()) {
        const bool is_switch = key == kSwitches[0] || key == kSwitches[1];
        if (!key.ends_with("_token") || is_switch || !(value.is_string() || value.is_object()))
            continue;
        AddedToken token = readAddedToken(view.at(key));
        token.special = true;
        settings.named[key] = token;
    }
    for (const char* key : {"additional_special_tokens", "extra_special_tokens"}) {
        const auto list = view.find(key);
        if (!list || !list->json().is_array())
            continue;
        for (std::size_t i = 0; i < list->size(); ++i) {
            AddedToken token = readAddedToken(list->at(i));
            token.special = true;
            settings.additional.push_back(token);
        }
    }
}

TokenId tokenIdFromKey(const JsonView& field, const std::string& key) {
    std::int64_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < 0 || id > kMaxTokenId)
        field.fail("'" + key + "' is not a token id");
    return static_cast<TokenId>(id);
}

std::vector<TokenId> readIds(const JsonView& view, std::string_view key) {
    std::vector<TokenId> ids;
    const auto value = view.find(key);
    if (!value)
        return ids;
    if (!value->json().is_array()) {
        const std::int64_t id = value->integer(-1, kMaxTokenId);
        if (id >= 0)  // -1: none
            ids.push_back(static_cast<TokenId>(id));
        return ids;
    }
    for (std::size_t i = 0; i < value->size(); ++i)
        ids.push_back(static_cast<TokenId>(value->at(i).integer(0, kMaxTokenId)));
    return ids;
}

void readTokenizerConfig(const JsonView& view, TokenizerSettings& settings) {
    settings.tokenizer_class = view.stringOr("tokenizer_class", "");
    if (settings.tokenizer_class.ends_with("Fast"))
        settings.tokenizer_class.resize(settings.tokenizer_class.size() - 4);
    settings.add_bos = optionalBoolean(view, "add_bos_token");
    settings.add_eos = optionalBoolean(view, "add_eos_token");
    settings.add_prefix_space = optionalBoolean(view, "add_prefix_space");
    settings.legacy = optionalBoolean(view, "legacy");
    readNamedTokens(view, settings);
    if (const auto added = view.find("added_tokens_decoder")) {
        if (!added->json().is_object())
            added->fail("expected an object of ids and tokens");
        for (const auto& [key, value] : added->json().items())
            settings.added[tokenIdFromKey(*added, key)] = readAddedToken(added->at(key));
    }
}

void readAddedTokensFile(const JsonView& view, TokenizerSettings& settings) {
    for (const auto& [content, value] : view.json().items()) {
        AddedToken token;
        token.content = content;
        for (const auto& [name, named] : settings.named)
            token.special = token.special || named.content == content;
        for (const AddedToken& other : settings.additional)
            token.special = token.special || other.content == content;
        token.normalized = !token.special;
        const JsonView field(value, view.file(), content);
        settings.added[static_cast<TokenId>(field.integer(0, kMaxTokenId))] = token;
    }
}

}  // namespace

AddedToken readAddedToken(const JsonView& value) {
    AddedToken token;
    if (value.json().is_string()) {
        token.content = value.string();
        return token;
    }
    token.content = value.at("content").string();
    token.single_word = value.booleanOr("single_word", false);
    token.lstrip = value.booleanOr("lstrip", false);
    token.rstrip = value.booleanOr("rstrip", false);
    token.special = value.booleanOr("special", false);
    token.normalized = value.booleanOr("normalized", !token.special);
    return token;
}

TokenizerSettings readTokenizerSettings(const fs::path& directory) {
    TokenizerSettings settings;
    if (const auto document = readOptional(directory / "tokenizer_config.json"))
        readTokenizerConfig(document->view(), settings);
    if (settings.added.empty()) {
        // Older directories keep these apart; a list with ids in tokenizer_config.json supersedes both.
        if (const auto document = readOptional(directory / "special_tokens_map.json"))
            readNamedTokens(document->view(), settings);
        if (const auto document = readOptional(directory / "added_tokens.json"))
            readAddedTokensFile(document->view(), settings);
    }
    for (auto& [name, token] : settings.named) {
        for (const auto& [id, added] : settings.added) {
            if (added.content == token.content)
                token = added;
        }
    }
    if (const auto document = readOptional(directory / "generation_config.json"))
        settings.generation_eos = readIds(document->view(), "eos_token_id");
    if (const auto document = readOptional(directory / "config.json")) {
        settings.config_eos = readIds(document->view(), "eos_token_id");
        settings.model_type = document->view().stringOr("model_type", "");
    }
    return settings;
}

void addSettingsTokens(const TokenizerSettings& settings, AddedTokens& tokens,
                       const std::function<std::optional<TokenId>(const std::string&)>& model_id,
                       TokenId model_size, const std::function<std::string(const std::string&)>& normalize) {
    const auto add = [&](const AddedToken& token) {
        if (token.content.empty())
            return;
        std::optional<TokenId> id = tokens.idOf(token.content);
        if (!id)
            id = model_id(token.content);
        if (!id)
            id = std::max(model_size, tokens.largestId().value_or(-1) + 1);
        tokens.add(token, *id, token.normalized ? normalize(token.content) : token.content);
    };
    for (const auto& [id, token] : settings.added)
        add(token);
    for (const char* name : kNamedTokens) {
        if (const auto found = settings.named.find(name); found != settings.named.end()) {
            AddedToken token = found->second;
            token.special = true;
            add(token);
        }
    }
    for (const auto& [name, token] : settings.named) {
        if (!tokens.idOf(token.content))
            add(token);
    }
    for (const AddedToken& token : settings.additional)
        add(token);
}

EndTokens findEndTokens(const TokenizerSettings& settings, const AddedTokens& tokens) {
    const auto idOf = [&](const char* name) -> std::optional<TokenId> {
        const auto found = settings.named.find(name);
        return found == settings.named.end() ? std::nullopt : tokens.idOf(found->second.content);
    };
    EndTokens ends;
    ends.bos = idOf("bos_token");
    ends.eos_token = idOf("eos_token");
    if (!settings.generation_eos.empty())
        ends.eos = settings.generation_eos;
    else if (ends.eos_token)
        ends.eos = {*ends.eos_token};
    else
        ends.eos = settings.config_eos;
    return ends;
}

}  // namespace eigenscope
