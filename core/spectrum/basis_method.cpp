// SPDX-License-Identifier: Apache-2.0
#include "core/spectrum/basis_method.h"

#include "core/spectrum/attention_aware_method.h"
#include "core/spectrum/eigen_method.h"
#include "kernels/api/error.h"

#include <array>

namespace eigenscope {

namespace {

// The table of methods: one row each.
constexpr std::array<BasisMethod, 2> kMethods{{
    {"eigen", "Eigen Attention",
     "Keeps the directions in which keys (with queries where positions are not rotary) and values have the "
     "most energy. Costs one pass over the calibration text and two eigen-decompositions a head.",
     "Eigen Attention, arXiv 2408.05646, section 4", true, false, false, &computeEigenBases},
    {"attention-aware", "Attention-aware",
     "Keeps the directions of keys in which an error changes what attention passes on the most, and those of "
     "values that the output projection passes on. Costs the same pass with the attention of sampled "
     "queries besides (--attention-queries), and four eigen-decompositions a latent; where N heads share "
     "one, attention computes N times as much for each cached position.",
     "this project; factors as in KQ-SVD, arXiv 2512.05916, weighted by the effect of a logit error", false,
     true, true, &computeAttentionAwareBases},
}};

}  // namespace

std::span<const BasisMethod> basisMethods() { return kMethods; }

const BasisMethod& basisMethod(std::string_view name) {
    std::string known;
    for (const BasisMethod& method : kMethods) {
        if (method.name == name)
            return method;
        known += (known.empty() ? "" : ", ") + std::string(method.name);
    }
    throw Error(ErrorCode::InvalidInput,
                "unknown method '" + std::string(name) + "', expected one of: " + known);
}

}  // namespace eigenscope
