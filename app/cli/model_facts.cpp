// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/model_facts.h"

#include "app/cli/command.h"
#include "core/base/fail.h"
#include "core/model/family.h"
#include "core/model/kv_cache.h"
#include "core/report/number_text.h"
#include "core/tokenizer/tokenizer.h"

#include <fmt/format.h>

#include <algorithm>

namespace eigenscope {

namespace {

DType queryDType(const Checkpoint& checkpoint, ModelConfig config) {
    const Family& family = familyOf(config);
    std::string usual_name;
    for (const std::string_view prefix : family.prefixes) {
        config.tensor_prefix = prefix;
        const std::string name = family.layerNames(config, 0).query + ".weight";
        if (usual_name.empty())
            usual_name = name;
        const TensorRecord* record = checkpoint.find(name);
        if (record == nullptr)
            continue;
        if (const auto dtype = engineDType(record->dtype))
            return *dtype;
        failField(record->file, name,
                  fmt::format("dtype {} is not supported, expected F32, F16 or BF16", nameOf(record->dtype)));
    }
    failField(checkpoint.directory(), usual_name, "the tensor is missing");
}

std::string scalingText(const RopeScaling& scaling) {
    switch (scaling.kind) {
        case RopeScaling::Kind::None:
            break;
        case RopeScaling::Kind::Linear:
            return fmt::format(", linear scaling by {:g}", scaling.factor);
        case RopeScaling::Kind::Dynamic:
            return fmt::format(", dynamic scaling by {:g}", scaling.factor);
        case RopeScaling::Kind::Llama3:
            return fmt::format(", Llama 3 scaling by {:g}", scaling.factor);
        case RopeScaling::Kind::Yarn:
            return fmt::format(", YaRN scaling by {:g}", scaling.factor);
    }
    return "";
}

}  // namespace

ModelFacts readModelFacts(const std::filesystem::path& model, LoadFormat format) {
    ModelFacts facts;
    facts.checkpoint = openCheckpoint(model, format);
    facts.config = readModelConfig(facts.checkpoint->config(), facts.checkpoint->configFile());
    facts.dtype = queryDType(*facts.checkpoint, facts.config);
    return facts;
}

std::string positionText(const ModelConfig& config) {
    switch (config.position) {
        case PositionKind::Rotary:
            return fmt::format("rotary (RoPE), theta {:g}{}", config.rope_theta,
                               scalingText(config.rope_scaling));
        case PositionKind::Alibi:
            return "linear biases (ALiBi)";
        case PositionKind::Learned:
            break;
    }
    return "learned";
}

std::vector<std::pair<std::string, std::string>> factsText(const ModelFacts& facts, const KvFormat& kv_format,
                                                           const std::string& tokenizer) {
    const ModelConfig& config = facts.config;
    const auto per_token = static_cast<double>(kvBytesPerToken(config, kv_format));
    std::vector<std::pair<std::string, std::string>> lines = {
        {"Architecture", config.architecture},
        {"Layers", text::count(config.layers)},
        {"Hidden size", text::count(config.hidden_size)},
        {"Heads", fmt::format("{} query, {} key/value, {} wide", config.query_heads, config.kv_heads,
                              config.head_dim)},
        {"Positions", fmt::format("{}, at most {}", positionText(config), text::count(config.max_positions))},
        {"Vocabulary", text::count(config.vocab_size)},
        {"Tokenizer", tokenizer},
        {"Weights",
         fmt::format("{} parameters, {}, {}",
                     text::shortCount(static_cast<double>(facts.checkpoint->parameterCount())),
                     nameOf(facts.dtype), text::bytes(static_cast<double>(facts.checkpoint->weightBytes())))},
        {"KV cache",
         fmt::format("{} a token at {}", text::bytes(per_token), kvFormatText(kv_format, config))},
    };
    if (!config.windows.empty())
        lines.emplace_back("Sliding window", text::count(*std::ranges::max_element(config.windows)));
    if (facts.checkpoint->hasDummyWeights())
        lines.emplace_back("Note", "random weights: memory and speed are right, text is not");
    if (config.low_rank) {
        if (config.low_rank->refit)
            lines.emplace_back("Refitted",
                               fmt::format("output projections, on {} windows of {}",
                                           config.low_rank->refit->windows, config.low_rank->refit->text));
        lines.emplace_back("Converted", fmt::format("{}, KV ratio {:.3f}, from {}", config.low_rank->method,
                                                    config.low_rank->kv_ratio, config.low_rank->source));
    }
    return lines;
}

std::optional<std::string> tokenizerDescription(const ModelFacts& facts, std::string& problem) {
    if (facts.checkpoint->hasDummyWeights() && !hasTokenizer(facts.checkpoint->directory())) {
        problem = "there is none";
        return std::nullopt;
    }
    try {
        return openTokenizer(*facts.checkpoint)->description();
    } catch (const Error& error) {
        problem = error.what();
        return std::nullopt;
    }
}

}  // namespace eigenscope
