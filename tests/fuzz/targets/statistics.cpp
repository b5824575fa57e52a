// SPDX-License-Identifier: Apache-2.0
// Statistics, *.stats.safetensors: header, separator, data. What can be read can be written, and reads again.
#include "core/calibration/statistics.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto parts = fuzz::splitInput(fuzz::textOf(data, size), 2);
    const auto path = fuzz::inputFile("run.stats.safetensors", fuzz::safetensorsOf(parts[0], parts[1]));
    bool good = false;
    Statistics statistics;
    fuzz::read([&] {
        statistics = loadStatistics(path);
        good = true;
    });
    if (!good)
        return 0;
    const auto again = fuzz::inputFolder() / "again.stats.safetensors";
    saveStatistics(statistics, again);
    const Statistics found = loadStatistics(again);
    fuzz::require(found.layers.size() == statistics.layers.size() && found.tokens == statistics.tokens &&
                      found.layers.front().keys.gram == statistics.layers.front().keys.gram &&
                      found.probe_windows == statistics.probe_windows &&
                      found.tables.sensitivity.size() == statistics.tables.sensitivity.size() &&
                      found.tables.layer_errors.size() == statistics.tables.layer_errors.size(),
                  "what is written is not what was read");
    return 0;
}
