// SPDX-License-Identifier: Apache-2.0
// vocab.json, merges.txt and tokenizer_config.json, one behind the other.
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/tokenizer_use.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto parts = fuzz::splitInput(fuzz::textOf(data, size), 3);
    fuzz::inputFile("vocab.json", parts[0]);
    fuzz::inputFile("merges.txt", parts[1]);
    if (parts[2].empty())
        fuzz::removeInput("tokenizer_config.json");
    else
        fuzz::inputFile("tokenizer_config.json", parts[2]);
    fuzz::read([&] { fuzz::use(loadTokenizer(fuzz::inputFolder())); });
    return 0;
}
