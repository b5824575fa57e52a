// SPDX-License-Identifier: Apache-2.0
// A safetensors file whose header's length is right: header, separator, data.
#include "core/checkpoint/safetensors.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto parts = fuzz::splitInput(fuzz::textOf(data, size), 2);
    const auto path = fuzz::inputFile("model.safetensors", fuzz::safetensorsOf(parts[0], parts[1]));
    fuzz::read([&] { fuzz::touch(SafetensorsFile(path).tensors()); });
    return 0;
}
