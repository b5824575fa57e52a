// SPDX-License-Identifier: Apache-2.0
// config.json of any family, and what follows from it before a weight is read.
#include "core/checkpoint/checkpoint.h"
#include "core/model/expected_tensors.h"
#include "core/model/positions.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto path = fuzz::inputFile("config.json", fuzz::textOf(data, size));
    fuzz::read([&] {
        const ModelConfig config = readModelConfig(Checkpoint::readConfig(fuzz::inputFolder()), path);
        fuzz::require(
            config.layers > 0 && config.head_dim > 0 && config.group() > 0 && config.cachedHeads() > 0,
            "a configuration without layers or heads");
        fuzz::require(!expectedTensors(config).empty(), "a configuration without tensors");
        if (config.position == PositionKind::Rotary)
            rotaryNumbers(rotaryFrequencies(config, 4), 4);
        if (config.position == PositionKind::Alibi)
            alibiSlopes(config.query_heads, config.alibi_bias_max);
        for (int layer : {0, config.layers - 1}) {
            fuzz::require(
                config.keyWidth(layer) > 0 && config.valueWidth(layer) > 0 && config.window(layer) >= 0,
                "a layer without width");
        }
    });
    return 0;
}
