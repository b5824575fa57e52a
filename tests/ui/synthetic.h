// SPDX-License-Identifier: Apache-2.0
// A made-up spectrum with known answers, and a settings store in a temporary folder, for the window's tests.
#pragma once

#include "core/spectrum/spectrum.h"

#include <cmath>
#include <memory>

namespace eigenscope::testing {

// Eigenvalues fall geometrically, faster in later layers and for values; every head a little differently.
inline double decay(int layer, int head, Side side) {
    return 0.90 - 0.02 * (layer % 16) - 0.01 * (head % 8) - (side == Side::Values ? 0.05 : 0.0);
}

inline std::shared_ptr<const Spectrum> syntheticSpectrum(int layers, int heads, int width) {
    const auto basis = [width](double q) {
        HeadBasis made;
        made.width = width;
        for (int i = 0; i < width; ++i) {
            made.eigenvalues.push_back(std::pow(q, i));
        }
        return made;
    };
    std::vector<LayerBases> all(static_cast<std::size_t>(layers));
    for (int layer = 0; layer < layers; ++layer) {
        for (int head = 0; head < heads; ++head) {
            all[static_cast<std::size_t>(layer)].keys.push_back(basis(decay(layer, head, Side::Keys)));
            all[static_cast<std::size_t>(layer)].values.push_back(basis(decay(layer, head, Side::Values)));
        }
    }
    return std::make_shared<Spectrum>("eigen", BasisOptions{}, width, std::move(all));
}

// Smallest rank whose geometric sum reaches the threshold, in closed form: (1 - q^r) / (1 - q^d) >= e.
inline int expectedRank(int layer, int head, Side side, double threshold, int width) {
    const double q = decay(layer, head, side);
    const double rank = std::log(1.0 - threshold * (1.0 - std::pow(q, width))) / std::log(q);
    return std::max(1, static_cast<int>(std::ceil(rank - 1e-9)));
}

// The layer's: the largest over the heads, rounded up to the multiple.
inline int expectedLayerRank(int layer, Side side, double threshold, int heads, int width, int multiple) {
    int largest = 1;
    for (int head = 0; head < heads; ++head) {
        largest = std::max(largest, expectedRank(layer, head, side, threshold, width));
    }
    return std::min(width, (largest + multiple - 1) / multiple * multiple);
}

}  // namespace eigenscope::testing
