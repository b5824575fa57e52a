// SPDX-License-Identifier: Apache-2.0
#include "core/model/open_checkpoint.h"

#include "core/base/fail.h"
#include "core/model/expected_tensors.h"
#include "core/model/model_config.h"
#include "core/tokenizer/no_tokenizer.h"

namespace eigenscope {

namespace fs = std::filesystem;

namespace {

const Preset& presetOf(const std::string& name) {
    std::string known;
    for (const Preset& preset : presets()) {
        if (preset.name == name)
            return preset;
        known += (known.empty() ? "" : ", ") + std::string(preset.name);
    }
    throw Error(ErrorCode::InvalidInput,
                std::string(kPresetPrefix) + name + ": there is no such preset (known: " + known + ")");
}

// What the weights were saved in; older configurations call it torch_dtype.
FileDType weightDType(const JsonView& config) {
    const std::string_view key = config.has("dtype") ? "dtype" : "torch_dtype";
    const std::string name = config.stringOr(key, "float32");
    if (name == "float32")
        return FileDType::F32;
    if (name == "float16")
        return FileDType::F16;
    if (name == "bfloat16")
        return FileDType::BF16;
    config.at(key).fail("expected float32, float16 or bfloat16");
}

std::shared_ptr<const Checkpoint> openDummy(const fs::path& directory, Json config, std::string name) {
    const fs::path file = directory / "config.json";
    const ModelConfig model = readModelConfig(config, file);
    const FileDType dtype = weightDType(JsonView(config, file));
    auto weights = DummyWeights::create(expectedTensors(model), dtype, directory / "random weights");
    return Checkpoint::withDummyWeights(directory, std::move(config), std::move(weights), std::move(name));
}

}  // namespace

std::optional<std::string> presetName(const fs::path& model) {
    const std::string text = model.string();
    if (!text.starts_with(kPresetPrefix))
        return std::nullopt;
    return text.substr(kPresetPrefix.size());
}

std::shared_ptr<const Checkpoint> openCheckpoint(const fs::path& model, LoadFormat format) {
    if (const auto name = presetName(model)) {
        const Preset& preset = presetOf(*name);
        return openDummy(model, parseJson(preset.config, model / "config.json"), std::string(preset.title));
    }
    if (format == LoadFormat::Auto)
        return Checkpoint::open(model, Checkpoint::Access::Headers);
    const fs::path directory = Checkpoint::directoryOf(model);
    return openDummy(directory, Checkpoint::readConfig(directory), "");
}

std::shared_ptr<const Tokenizer> openTokenizer(const Checkpoint& checkpoint) {
    if (checkpoint.hasDummyWeights() && !hasTokenizer(checkpoint.directory()))
        return std::make_shared<NoTokenizer>(checkpoint.directory().string());
    return loadTokenizer(checkpoint.directory());
}

}  // namespace eigenscope
