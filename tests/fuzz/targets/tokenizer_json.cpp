// SPDX-License-Identifier: Apache-2.0
// tokenizer.json, tokenizer_config.json, special_tokens_map.json, generation_config.json and config.json, one
// behind the other.
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/tokenizer_use.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr const char* kNames[] = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                      "generation_config.json", "config.json"};
    const auto parts = fuzz::splitInput(fuzz::textOf(data, size), std::size(kNames));
    for (std::size_t i = 0; i < parts.size(); ++i) {
        if (i > 0 && parts[i].empty())
            fuzz::removeInput(kNames[i]);
        else
            fuzz::inputFile(kNames[i], parts[i]);
    }
    fuzz::read([&] { fuzz::use(loadTokenizer(fuzz::inputFolder())); });
    return 0;
}
