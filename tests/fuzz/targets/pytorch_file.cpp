// SPDX-License-Identifier: Apache-2.0
// A PyTorch file as it is: zip archive, pickle and storages.
#include "core/checkpoint/pytorch_file.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto path = fuzz::inputFile("pytorch_model.bin", fuzz::textOf(data, size));
    fuzz::read([&] { fuzz::touch(readPytorchFile(path)); });
    return 0;
}
