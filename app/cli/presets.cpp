// SPDX-License-Identifier: GPL-3.0-or-later
// presets: published architectures that can be explored with random weights, nothing downloaded.
#include "app/cli/commands.h"
#include "app/cli/model_facts.h"
#include "core/model/kv_cache.h"
#include "core/report/number_text.h"

#include <string>

namespace eigenscope {

namespace {

void listPresets(Run& run) {
    ResultJson json = {{"presets", ResultJson::array()}};
    std::vector<std::vector<std::string>> rows = {
        {"model", "parameters", "weights", "positions", "KV cache a token"}};
    for (const Preset& preset : presets()) {
        const std::string model = std::string(kPresetPrefix) + std::string(preset.name);
        const ModelFacts facts = readModelFacts(model, LoadFormat::Dummy);
        const std::size_t per_token = kvBytesPerToken(facts.config, facts.dtype);
        json["presets"].push_back({{"model", model},
                                   {"title", preset.title},
                                   {"parameters", facts.checkpoint->parameterCount()},
                                   {"weight_bytes", facts.checkpoint->weightBytes()},
                                   {"max_positions", facts.config.max_positions},
                                   {"kv_bytes_per_token", per_token}});
        rows.push_back({model, text::shortCount(static_cast<double>(facts.checkpoint->parameterCount())),
                        text::bytes(static_cast<double>(facts.checkpoint->weightBytes())),
                        text::count(facts.config.max_positions),
                        text::bytes(static_cast<double>(per_token))});
    }
    run.console().printResult(json);
    run.console().print(tableLines(rows));
}

}  // namespace

Command addPresets(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand(
        "presets", "List architectures to explore with random weights, usable wherever a MODEL is");
    addOutputOptions(*sub, common);
    return {sub, [](Run& run) { listPresets(run); }};
}

}  // namespace eigenscope
