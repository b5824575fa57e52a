// SPDX-License-Identifier: Apache-2.0
// model.safetensors.index.json beside two shards, a.safetensors with tensors "one" and "two", b.safetensors
// with "two" and "three".
#include "core/checkpoint/checkpoint.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

namespace {

void writeShards() {
    const std::string two = R"("two":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})";
    const std::string first = R"("dtype":"F32","shape":[1],"data_offsets":[0,4]},)";
    fuzz::inputFile("a.safetensors", fuzz::safetensorsOf(R"({"one":{)" + first + two, std::string(8, 0)));
    fuzz::inputFile("b.safetensors", fuzz::safetensorsOf(R"({"three":{)" + first + two, "abcdefgh"));
    fuzz::inputFile("config.json", "{}");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const bool written = (writeShards(), true);
    static_cast<void>(written);
    fuzz::inputFile("model.safetensors.index.json", fuzz::textOf(data, size));
    fuzz::read([&] {
        const auto checkpoint = Checkpoint::open(fuzz::inputFolder());
        for (const TensorRecord* tensor : checkpoint->tensors())
            fuzz::touch(tensor->bytes);
        fuzz::require(!checkpoint->fingerprint().empty(), "no fingerprint");
    });
    return 0;
}
