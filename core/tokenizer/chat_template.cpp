// SPDX-License-Identifier: Apache-2.0
#include "core/tokenizer/chat_template.h"

#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/base/regular_file.h"
#include "core/tokenizer/jinja.h"
#include "core/tokenizer/special_tokens.h"

#include <vector>

namespace eigenscope {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMostBytes = 1 << 20;  // of a template's file

struct Source {
    std::string text;
    fs::path file;
};

std::optional<Source> readFile(const fs::path& file) {
    if (!hasRegularFile(file))
        return std::nullopt;
    return Source{readTextFile(file, kMostBytes), file};
}

// A template, or a list of named ones of which "default" counts.
std::optional<Source> readMember(const fs::path& file) {
    if (!hasRegularFile(file))
        return std::nullopt;
    const Json document = readJsonFile(file);
    const auto found = JsonView(document, file).find("chat_template");
    if (!found)
        return std::nullopt;
    if (!found->json().is_array())
        return Source{found->string(), file};
    for (std::size_t i = 0; i < found->size(); ++i) {
        if (found->at(i).at("name").string() == "default")
            return Source{found->at(i).at("template").string(), file};
    }
    found->fail("none of the templates is named default");
}

}  // namespace

struct ChatTemplate::Parts {
    jinja::Template program;
    std::map<std::string, jinja::Value> tokens;  // "bos_token", ...
    fs::path file;
};

std::shared_ptr<const ChatTemplate> ChatTemplate::load(const fs::path& directory) {
    std::optional<Source> source = readFile(directory / "chat_template.jinja");
    for (const char* name : {"tokenizer_config.json", "chat_template.json"}) {
        if (!source)
            source = readMember(directory / name);
    }
    if (!source)
        failUnsupported(
            directory.string() +
            ": there is no chat template (looked for chat_template.jinja, and for chat_template in "
            "tokenizer_config.json and chat_template.json)");
    std::map<std::string, jinja::Value> tokens;
    for (const auto& [name, token] : readTokenizerSettings(directory).named)
        tokens[name] = token.content;
    auto chat = std::make_shared<ChatTemplate>();
    try {
        chat->m_parts = std::make_shared<const Parts>(
            Parts{jinja::Template(source->text), std::move(tokens), source->file});
    } catch (const Error& error) {
        throw Error(error.code(), source->file.string() + ": " + error.what());
    }
    return chat;
}

std::string ChatTemplate::apply(std::span<const ChatMessage> messages) const {
    std::map<std::string, jinja::Value> variables = m_parts->tokens;
    jinja::Value list = jinja::Value::array();
    for (const ChatMessage& message : messages)
        list.push_back({{"role", message.role}, {"content", message.content}});
    variables["messages"] = std::move(list);
    variables["add_generation_prompt"] = true;
    // Transformers passes these whether or not there are any.
    variables["tools"] = variables["documents"] = nullptr;
    try {
        return m_parts->program.render(std::move(variables));
    } catch (const Error& error) {
        throw Error(error.code(), m_parts->file.string() + ": " + error.what());
    }
}

std::string applyChat(const ChatTemplate& chat, const std::string& question, const std::string& system) {
    std::vector<ChatMessage> messages;
    if (!system.empty())
        messages.push_back({"system", system});
    messages.push_back({"user", question});
    return chat.apply(messages);
}

}  // namespace eigenscope
