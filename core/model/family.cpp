// SPDX-License-Identifier: Apache-2.0
#include "core/model/family.h"

#include "core/base/fail.h"
#include "core/model/families/families.h"

#include <array>

namespace eigenscope {

std::span<const Family> families() {
    static const std::array<Family, 5> kFamilies{llamaFamily(), mistralFamily(), qwen2Family(), optFamily(),
                                                 mptFamily()};
    return kFamilies;
}

const Family& familyOf(const ModelConfig& config) {
    for (const Family& family : families()) {
        if (family.name == config.family) {
            return family;
        }
    }
    failUnsupported("model family \"" + config.family + "\" is unknown");
}

}  // namespace eigenscope
