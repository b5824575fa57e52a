// SPDX-License-Identifier: Apache-2.0
// A plan, JSON. What can be read can be written, and reads again as the same plan.
#include "core/spectrum/rank_plan.h"
#include "tests/fuzz/fuzz_input.h"

using namespace eigenscope;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto path = fuzz::inputFile("plan.json", fuzz::textOf(data, size));
    bool good = false;
    RankPlan plan;
    fuzz::read([&] {
        plan = loadPlan(path);
        good = true;
    });
    if (!good)
        return 0;
    fuzz::read([&] { checkPlan(plan, 2, 16, path); });
    const auto again = fuzz::inputFolder() / "again.json";
    savePlan(plan, again);
    fuzz::require(loadPlan(again) == plan, "what is written is not what was read");
    return 0;
}
