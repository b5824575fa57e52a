// SPDX-License-Identifier: Apache-2.0
// chat_template.jinja and tokenizer_config.json, applied to a few conversations.
#include "core/tokenizer/chat_template.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto parts = fuzz::splitInput(fuzz::textOf(data, size), 2);
    if (parts[0].empty())
        fuzz::removeInput("chat_template.jinja");
    else
        fuzz::inputFile("chat_template.jinja", parts[0]);
    if (parts[1].empty())
        fuzz::removeInput("tokenizer_config.json");
    else
        fuzz::inputFile("tokenizer_config.json", parts[1]);
    fuzz::read([&] {
        const auto chat = ChatTemplate::load(fuzz::inputFolder());
        const std::vector<ChatMessage> conversation{
            {"system", "Be brief."}, {"user", " Why?\n"}, {"assistant", "\u00DCber all <s>"}, {"user", "So"}};
        for (std::size_t first : {std::size_t{0}, std::size_t{1}})
            fuzz::read([&] { static_cast<void>(chat->apply(std::span(conversation).subspan(first))); });
        fuzz::read([&] { static_cast<void>(chat->apply({})); });
    });
    return 0;
}
