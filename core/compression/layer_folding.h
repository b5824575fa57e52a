// SPDX-License-Identifier: Apache-2.0
// One layer's attention in the low-rank space: its projections with the bases of a plan folded in, or only
// their shapes. Any thread, each with a Folder of its own.
#pragma once

#include "core/compression/folding.h"
#include "core/spectrum/rank_plan.h"

#include <memory>
#include <vector>

namespace eigenscope {

class LayerFolding {
public:
    // `config`: the converted model's.
    LayerFolding(ModelConfig config, std::shared_ptr<const Spectrum> spectrum, RankPlan plan);

    AttentionWeights fold(Folder& folder, const AttentionWeights& original, int layer) const;
    // Keys or values alone; the rest of `weights` stays.
    void foldKeys(Folder& folder, const AttentionWeights& original, int layer,
                  AttentionWeights& weights) const;
    void foldValues(Folder& folder, const AttentionWeights& original, int layer,
                    AttentionWeights& weights) const;
    // The shapes that fold() gives.
    AttentionWeights describe(const AttentionWeights& original, int layer) const;
    // The most that fold() takes beside the original: the low-rank projections, and numbers in float64 on
    // their way.
    std::int64_t bytes(const AttentionWeights& original, int layer) const;

private:
    std::vector<HeadBasis> bases(int layer, Side side) const;
    bool hasMeans(int layer, Side side) const;

    ModelConfig m_config;
    std::shared_ptr<const Spectrum> m_spectrum;
    RankPlan m_plan;
};

}  // namespace eigenscope
