// SPDX-License-Identifier: Apache-2.0
// A project, *.eigenscope. What can be read can be written, and reads again as the same project.
#include "core/workbench/project.h"

#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto path = fuzz::inputFile("tour.eigenscope", fuzz::textOf(data, size));
    bool good = false;
    Project project;
    fuzz::read([&] {
        project = loadProject(path);
        good = true;
    });
    if (!good)
        return 0;
    const auto again = fuzz::inputFolder() / "again.eigenscope";
    // Paths may be longer when they are whole; then they are refused, as in reading.
    bool written = false;
    fuzz::read([&] {
        saveProject(project, again);
        written = true;
    });
    if (written)
        fuzz::require(loadProject(again) == project, "what is written is not what was read");
    return 0;
}
