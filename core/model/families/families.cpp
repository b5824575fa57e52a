// SPDX-License-Identifier: Apache-2.0
#include "core/model/families/families.h"

#include "core/base/fail.h"

namespace eigenscope {

int evenHeadDim(const JsonView& config, std::string_view key, int hidden, int heads) {
    if (hidden % heads != 0) {
        config.at(key).fail(std::to_string(hidden) + " is not a multiple of the number of heads, " +
                            std::to_string(heads));
    }
    return hidden / heads;
}

void refuseSetting(const JsonView& value, std::string_view why) {
    failUnsupported(value.file().string() + ": " + value.field() + ": " + value.json().dump() + ": " +
                    std::string(why));
}

ActivateParams::Kind readActivation(const JsonView& config, std::string_view key, std::string_view fallback) {
    using Kind = ActivateParams::Kind;
    const std::string name = config.stringOr(key, std::string(fallback));
    if (name == "relu") {
        return Kind::Relu;
    }
    if (name == "gelu") {
        return Kind::Gelu;
    }
    if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") {
        return Kind::GeluTanh;
    }
    if (name == "silu" || name == "swish") {
        return Kind::Silu;
    }
    refuseSetting(config.at(key),
                  "unknown activation (known: relu, gelu, gelu_new, gelu_pytorch_tanh, gelu_fast, silu)");
}

void requireSetting(const JsonView& config, std::string_view key, const Json& expected,
                    std::string_view why) {
    const auto value = config.find(key);
    if (value && value->json() != expected) {
        refuseSetting(*value, why);
    }
}

void refuseForeignSettings(const JsonView& config, std::span<const ForeignSetting> settings) {
    for (const ForeignSetting& setting : settings) {
        requireSetting(config, setting.key, setting.harmless, setting.why);
    }
}

}  // namespace eigenscope
