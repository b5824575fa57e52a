// SPDX-License-Identifier: Apache-2.0
// An unfinished calibration: header, separator, data. What can be read can be written, and reads again.
#include "core/calibration/partial_calibration.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto parts = fuzz::splitInput(fuzz::textOf(data, size), 2);
    const auto path = fuzz::inputFile("run.partial", fuzz::safetensorsOf(parts[0], parts[1]));
    bool good = false;
    PartialCalibration partial;
    fuzz::read([&] {
        partial = loadPartialCalibration(path);
        good = true;
    });
    if (!good)
        return 0;
    const auto again = fuzz::inputFolder() / "again.partial";
    savePartialCalibration(partial, again);
    const PartialCalibration found = loadPartialCalibration(again);
    fuzz::require(found.identity == partial.identity && found.windows == partial.windows &&
                      found.layers == partial.layers,
                  "what is written is not what was read");
    fuzz::read([&] { checkSameRun(found, {{"model", "0"}, {"seed", "1"}}, again); });
    return 0;
}
