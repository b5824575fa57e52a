// SPDX-License-Identifier: GPL-3.0-or-later
// inspect MODEL: what a checkpoint is, from its headers.
#include "app/cli/commands.h"
#include "app/cli/model_facts.h"
#include "core/model/kv_cache.h"

#include <fmt/format.h>

#include <memory>

namespace eigenscope {

namespace {

void inspect(Run& run, const std::string& model) {
    const ModelFacts facts = readModelFacts(model, run.loadFormat());
    const ModelConfig& config = facts.config;
    const KvFormat kv_format = resolveKvFormat(run.kvFormat(), config, facts.dtype);
    std::string problem;
    const std::optional<std::string> tokenizer = tokenizerDescription(facts, problem);
    if (!tokenizer)
        run.console().message("tokenizer: " + problem);
    ResultJson json;
    json["name"] = facts.checkpoint->name();
    json["architecture"] = config.architecture;
    json["family"] = config.family;
    json["layers"] = config.layers;
    json["hidden_size"] = config.hidden_size;
    json["heads"] = config.query_heads;
    json["kv_heads"] = config.kv_heads;
    json["head_dim"] = config.head_dim;
    json["vocab_size"] = config.vocab_size;
    json["max_positions"] = config.max_positions;
    json["positions"] = positionText(config);
    json["dtype"] = nameOf(facts.dtype);
    json["parameters"] = facts.checkpoint->parameterCount();
    json["dummy_weights"] = facts.checkpoint->hasDummyWeights();
    json["weight_bytes"] = facts.checkpoint->weightBytes();
    addKvFormat(json, kv_format, config);
    json["kv_bytes_per_token"] = kvBytesPerToken(config, kv_format);
    json["tokenizer"] = tokenizer ? ResultJson(*tokenizer) : ResultJson(nullptr);
    json["eigen_attention"] = config.low_rank ? ResultJson(toJson(*config.low_rank)) : ResultJson(nullptr);
    run.console().printResult(json);

    run.console().print(facts.checkpoint->name() + "\n" +
                        factLines(factsText(facts, kv_format, tokenizer.value_or("none"))));
    if (config.low_rank) {
        std::vector<std::vector<std::string>> rows = {{"layer", "key rank", "value rank"}};
        const KvBits& bits = config.low_rank->kv_bits;
        if (!bits.empty())
            rows[0].insert(rows[0].end(), {"key bits", "value bits"});
        for (int layer = 0; layer < config.layers; ++layer) {
            rows.push_back({std::to_string(layer), std::to_string(config.keyWidth(layer)),
                            std::to_string(config.valueWidth(layer))});
            const auto i = static_cast<std::size_t>(layer);
            if (!bits.empty())
                rows.back().insert(rows.back().end(),
                                   {std::to_string(bits.keys[i]), std::to_string(bits.values[i])});
        }
        run.console().print("\n" + tableLines(rows));
    }
}

}  // namespace

Command addInspect(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand("inspect", "Show what a checkpoint is (reads headers only)");
    auto model = std::make_shared<std::string>();
    sub->add_option("MODEL", *model, "Checkpoint directory, or a preset (see presets)")->required();
    addKvFormatOption(*sub, common);
    addLoadFormatOption(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [model](Run& run) { inspect(run, *model); }};
}

}  // namespace eigenscope
