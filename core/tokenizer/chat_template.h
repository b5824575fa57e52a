// SPDX-License-Identifier: Apache-2.0
// A checkpoint's chat template: messages to the text that its model was trained to answer. Immutable; any
// thread.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>

namespace eigenscope {

struct ChatMessage {
    std::string role;  // "system", "user", "assistant"
    std::string content;
};

class ChatTemplate {
public:
    // chat_template.jinja, or chat_template in tokenizer_config.json or chat_template.json. Throws
    // Unsupported when there is none, or when it uses what is not understood, and says what.
    static std::shared_ptr<const ChatTemplate> load(const std::filesystem::path& directory);

    // With the beginning of the assistant's answer. It holds special tokens as text, so it is to be encoded
    // without adding any. Throws Unsupported when the template refuses the messages.
    std::string apply(std::span<const ChatMessage> messages) const;

private:
    struct Parts;
    std::shared_ptr<const Parts> m_parts;
};

// A question, with a system message before it where one is given.
std::string applyChat(const ChatTemplate& chat, const std::string& question, const std::string& system);

}  // namespace eigenscope
