// SPDX-License-Identifier: Apache-2.0
// A pickle within a zip archive that is in order, beside storages "0" to "3" of 256 bytes: what the pickle
// says reaches the unpickler and the placing of tensors instead of failing at a checksum.
#include "core/checkpoint/pytorch_file.h"
#include "tests/core/pytorch_support.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::vector<test::ZipPart> parts{{"archive/data.pkl", std::string(fuzz::textOf(data, size))},
                                     {"archive/byteorder", "little"}};
    for (const char* key : {"0", "1", "2", "3"})
        parts.push_back({std::string("archive/data/") + key, std::string(256, 'x')});
    const auto path = fuzz::inputFile("pytorch_model.bin", test::zipOf(parts));
    fuzz::read([&] { fuzz::touch(readPytorchFile(path)); });
    return 0;
}
