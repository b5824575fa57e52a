// SPDX-License-Identifier: Apache-2.0
// tokenizer.model, as far as it is read here; the rest is SentencePiece's own reader.
#include "core/tokenizer/sentencepiece_model_file.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto path = fuzz::inputFile("tokenizer.model", fuzz::textOf(data, size));
    fuzz::read([&] {
        const SentencePieceModelFile model = readSentencePieceModelFile(path);
        fuzz::require(model.bytes.size() <= size, "a message that grew");
        for (const bool adds : {false, true}) {
            const std::string with = model.withPrefix(adds);
            const SentencePieceModelFile again =
                readSentencePieceModelFile(fuzz::inputFile("again.model", with));
            fuzz::require(again.adds_prefix == adds, "the added rule is not the one that counts");
            fuzz::require(again.user_defined == model.user_defined, "other user-defined pieces");
        }
    });
    return 0;
}
