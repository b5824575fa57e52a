// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/layer_settings.h"

#include <charconv>
#include <cmath>

namespace eigenscope {

namespace {

template <typename T>
bool parseNumber(std::string_view text, T& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size();
}

std::string checkPin(const std::string& text) {
    const auto setting = parseLayerSetting(text);
    if (setting && setting->value >= 1 && setting->value == std::floor(setting->value) &&
        setting->value <= 1 << 16)
        return {};
    return "--pin: expected LAYER:keys=RANK or LAYER:values=RANK, such as 3:keys=24, found " + text;
}

std::string checkThreshold(const std::string& text) {
    const auto setting = parseLayerSetting(text);
    if (setting && setting->value >= 0 && setting->value <= 1)
        return {};
    return "--layer-threshold: expected LAYER:keys=SHARE or LAYER:values=SHARE, such as 3:keys=0.9, found " +
           text;
}

}  // namespace

std::optional<LayerSetting> parseLayerSetting(const std::string& text) {
    const std::size_t colon = text.find(':'), equals = text.find('=');
    if (colon == std::string::npos || equals == std::string::npos || equals < colon)
        return std::nullopt;
    const std::string_view all = text, side = all.substr(colon + 1, equals - colon - 1);
    LayerSetting setting;
    if (side != "keys" && side != "values")
        return std::nullopt;
    setting.side = side == "keys" ? Side::Keys : Side::Values;
    if (!parseNumber(all.substr(0, colon), setting.layer) || setting.layer < 0 ||
        !parseNumber(all.substr(equals + 1), setting.value) || !std::isfinite(setting.value))
        return std::nullopt;
    return setting;
}

void LayerSettings::apply(RankPlan& plan, const Spectrum& spectrum) const {
    for (const std::string& text : thresholds) {
        const LayerSetting setting = parseLayerSetting(text).value();
        setLayerThreshold(plan, spectrum, setting.side, setting.layer, setting.value);
    }
    for (const std::string& text : pins) {
        const LayerSetting setting = parseLayerSetting(text).value();
        pinRank(plan, spectrum, setting.side, setting.layer, static_cast<int>(setting.value));
    }
}

void addLayerSettings(CLI::App& app, LayerSettings& settings) {
    app.add_option("--pin", settings.pins,
                   "Rank of a layer's keys or values, whatever the target: 3:keys=24 (may be repeated)")
        ->check(checkPin)
        ->allow_extra_args(false)
        ->take_all();
    app.add_option("--layer-threshold", settings.thresholds,
                   "Share of one layer's keys or values to keep, whatever the target: 3:keys=0.9 (may be "
                   "repeated)")
        ->check(checkThreshold)
        ->allow_extra_args(false)
        ->take_all();
}

}  // namespace eigenscope
