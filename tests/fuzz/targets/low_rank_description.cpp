// SPDX-License-Identifier: Apache-2.0
// The eigen_attention object of a converted checkpoint's config.json, for a model of 4 layers with 4
// key/value heads of 16.
#include "core/model/low_rank_description.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::filesystem::path path = "config.json";
    fuzz::read([&] {
        const Json json = parseJson(fuzz::textOf(data, size), path);
        const LowRankDescription description =
            readLowRankDescription(JsonView(json, path, "eigen_attention"), 4, 4, 16);
        const Json again = toJson(description);
        fuzz::require(toJson(readLowRankDescription(JsonView(again, path), 4, 4, 16)) == again,
                      "what is written is not what was read");
    });
    return 0;
}
