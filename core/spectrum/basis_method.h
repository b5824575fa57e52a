// SPDX-License-Identifier: Apache-2.0
// Methods that turn a layer's statistics into bases. A method is one file and one row in basis_method.cpp.
#pragma once

#include "core/base/job_context.h"
#include "core/calibration/statistics.h"
#include "kernels/api/backend.h"

#include <span>
#include <string_view>
#include <vector>

namespace eigenscope {

enum class Side : std::uint8_t { Keys, Values };

// A head's full basis; rank r uses the first r rows of encode and columns of decode:
// latent = encode_r (x - mean), x' = decode_r latent + mean.
struct HeadBasis {
    int width = 0;
    std::vector<double> eigenvalues;  // [width], descending, not negative: what truncation is judged by
    std::vector<double> encode;       // [width, width], row i is direction i
    std::vector<double> decode;       // [width, width], column i is direction i
    std::vector<double> mean;         // [width], or empty (zero)
};

struct LayerBases {
    // [kv_heads / head_group]; equal entries when a basis is shared by the layer. With a head group above 1
    // an entry is a basis of that many heads side by side, from whose one latent each of them is rebuilt.
    std::vector<HeadBasis> keys, values;
};

struct BasisMethod {
    std::string_view name;       // "eigen"
    std::string_view title;      // for the window
    std::string_view objective;  // one sentence
    std::string_view source;     // paper and section
    bool can_center = false;     // BasisOptions::center means something
    bool needs_attention_moments = false;
    bool shares_latents = false;  // by default heads share latents (usualHeadGroup())
    LayerBases (*compute)(const JobContext& job, Backend& backend, const Statistics& statistics, int layer,
                          const BasisOptions& options);
};

std::span<const BasisMethod> basisMethods();
const BasisMethod& basisMethod(std::string_view name);  // throws InvalidInput listing the names

}  // namespace eigenscope
