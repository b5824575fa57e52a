// SPDX-License-Identifier: Apache-2.0
// A calibration text. The first byte chooses its name and with it how it is read; the rest are its bytes.
#include "core/calibration/document_reader.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr const char* kNames[] = {"text.jsonl",    "text.json", "text.txt",
                                      "text.jsonl.gz", "text.gz",   "text"};
    if (size == 0)
        return 0;
    const std::string name = kNames[data[0] % std::size(kNames)];
    const auto path = fuzz::inputFile(name, fuzz::textOf(data + 1, size - 1));
    fuzz::read([&] {
        JobContext job;
        ReaderOptions options;
        // Plain text also in stretches, which is how files too large for memory are read.
        if (data[0] >= 0x80) {
            options.whole_bytes = 64;
            options.stretch_bytes = 32;
            options.text_field = "content";
        }
        DocumentReader reader(job, path, options);
        std::int64_t documents = 0;
        for (Document document; reader.next(document); ++documents)
            fuzz::require(!document.text.empty(), "a document without text");
        fuzz::require(documents == reader.documents(), "documents that were not counted");
        fuzz::require(!reader.fingerprint().empty(), "no fingerprint");
    });
    return 0;
}
