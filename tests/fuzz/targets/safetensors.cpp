// SPDX-License-Identifier: Apache-2.0
// A safetensors file as it is.
#include "core/checkpoint/safetensors.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto path = fuzz::inputFile("model.safetensors", fuzz::textOf(data, size));
    fuzz::read([&] {
        const SafetensorsFile file(path);
        fuzz::touch(file.tensors());
        for (const TensorRecord& tensor : file.tensors())
            fuzz::require(file.find(tensor.name) == &tensor, "a tensor is not found by its name");
    });
    return 0;
}
