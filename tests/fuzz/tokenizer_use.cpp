// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/tokenizer_use.h"

#include "tests/fuzz/fuzz_input.h"

#include <algorithm>

namespace eigenscope::fuzz {

void use(const std::shared_ptr<const Tokenizer>& tokenizer) {
    constexpr std::string_view kTexts[] = {
        "",
        "Hello world, it's 12345!\n\n  x",
        "<s> a</s><|endoftext|>",
        "\u00DCber \u4F60\u597D \U0001F600 e\u0301",
        "\xff\xc3(\xe2\x28\xa1 broken",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    };
    require(tokenizer->size() > 0, "a tokenizer without tokens");
    require(!tokenizer->description().empty(), "a tokenizer without description");
    for (const std::string_view text : kTexts) {
        for (const bool special : {true, false}) {
            read([&] {
                const std::vector<TokenId> ids = tokenizer->encode(text, special);
                for (TokenId id : ids)
                    require(id >= 0 && id < tokenizer->size(), "an id that the tokenizer does not have");
                static_cast<void>(tokenizer->decode(ids, special));
                StreamDecoder stream(tokenizer);
                for (TokenId id : ids)
                    static_cast<void>(stream.append(id));
                static_cast<void>(stream.finish());
            });
        }
    }
    const std::int32_t size = tokenizer->size();
    for (TokenId id = 0; id < size; id = id < 40 ? id + 1 : std::max(id + 1, size - 40)) {
        read([&] {
            static_cast<void>(tokenizer->piece(id));
            static_cast<void>(tokenizer->isSpecial(id));
        });
    }
    for (TokenId id : tokenizer->eos())
        require(id >= 0, "a negative end token");
}

}  // namespace eigenscope::fuzz
