// SPDX-License-Identifier: GPL-3.0-or-later
// Settings of single layers, LAYER:keys=NUMBER or LAYER:values=NUMBER, as `plan --pin` and
// `plan --layer-threshold` take them.
#pragma once

#include "core/spectrum/rank_plan.h"

#include <CLI/CLI.hpp>

#include <optional>
#include <string>
#include <vector>

namespace eigenscope {

struct LayerSetting {
    int layer = 0;
    Side side = Side::Keys;
    double value = 0;
};
std::optional<LayerSetting> parseLayerSetting(const std::string& text);

struct LayerSettings {
    std::vector<std::string> pins, thresholds;  // as given, checked by the parser
    void apply(RankPlan& plan, const Spectrum& spectrum) const;
};
void addLayerSettings(CLI::App& app, LayerSettings& settings);

}  // namespace eigenscope
