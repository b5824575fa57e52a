// SPDX-License-Identifier: Apache-2.0
// A plan as JSON, for files that hold one among other things. Plan files themselves: savePlan() and
// loadPlan() of rank_plan.h. Pure functions.
#pragma once

#include "core/base/json.h"
#include "core/spectrum/rank_plan.h"

namespace eigenscope {

Json planJson(const RankPlan& plan);
// Checks every field; errors name it below the position that `json` has in its document.
RankPlan readPlan(const JsonView& json);

}  // namespace eigenscope
