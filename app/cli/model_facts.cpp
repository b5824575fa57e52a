// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/model_facts.h"

#include "app/cli/command.h"
#include "core/base/fail.h"
#include "core/model/family.h"
#include "core/model/kv_cache.h"
#include "core/report/number_text.h"
#include "core/tokenizer/tokenizer.h"

#include <fmt/format.h>

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

}  // namespace

ModelFacts readModelFacts(const std::filesystem::path& model) {
    ModelFacts facts;
    facts.checkpoint = Checkpoint::open(model);
    facts.config = readModelConfig(facts.checkpoint->config(), facts.checkpoint->configFile());
    facts.dtype = queryDType(*facts.checkpoint, facts.config);
    return facts;
}

std::string positionText(const ModelConfig& config) {
    switch (config.position) {
        case PositionKind::Rotary:
            return fmt::format("rotary (RoPE), theta {:g}", config.rope_theta);
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
    if (config.low_rank) {
        lines.emplace_back("Converted", fmt::format("{}, KV ratio {:.3f}, from {}", config.low_rank->method,
                                                    config.low_rank->kv_ratio, config.low_rank->source));
    }
    return lines;
}

std::optional<std::string> tokenizerDescription(const ModelFacts& facts, std::string& problem) {
    try {
        return loadTokenizer(facts.checkpoint->directory())->description();
    } catch (const Error& error) {
        problem = error.what();
        return std::nullopt;
    }
}

}  // namespace eigenscope
