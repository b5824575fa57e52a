// SPDX-License-Identifier: Apache-2.0
#include "core/compression/layer_folding.h"

#include "core/compression/spread.h"
#include "core/model/weight_reader.h"

#include <algorithm>
#include <utility>

namespace eigenscope {

LayerFolding::LayerFolding(ModelConfig config, std::shared_ptr<const Spectrum> spectrum, RankPlan plan)
    : m_config(std::move(config)), m_spectrum(std::move(spectrum)), m_plan(std::move(plan)) {}

// Of one layer's side; spread when its cache is to be quantised, which changes nothing else.
std::vector<HeadBasis> LayerFolding::bases(int layer, Side side) const {
    const auto i = static_cast<std::size_t>(layer);
    const bool keys = side == Side::Keys;
    const std::vector<int>& bits = keys ? m_plan.kv_bits.keys : m_plan.kv_bits.values;
    const bool quantised = !bits.empty() && bits.at(i) < kUnquantised;
    std::vector<HeadBasis> bases;
    for (int head = 0; head < m_spectrum->heads(); ++head) {
        bases.push_back(m_spectrum->basis(layer, side, head));
        if (quantised)
            spreadLatents(bases.back(), keys ? m_plan.key_ranks.at(i) : m_plan.value_ranks.at(i));
    }
    return bases;
}

bool LayerFolding::hasMeans(int layer, Side side) const {
    for (int head = 0; head < m_spectrum->heads(); ++head) {
        if (!m_spectrum->basis(layer, side, head).mean.empty())
            return true;
    }
    return false;
}

void LayerFolding::foldKeys(Folder& folder, const AttentionWeights& original, int layer,
                            AttentionWeights& weights) const {
    const std::vector<HeadBasis> keys = bases(layer, Side::Keys);
    const int rank = m_config.keyWidth(layer);
    weights.query_width = m_config.queryWidth(layer);
    weights.key_width = rank;
    weights.key = folder.encodeRows(original.key, keys, rank);
    if (m_config.rebuildsKeys()) {
        weights.lift_basis = folder.decoders(keys, rank, m_config.kv_heads);
        weights.lift_mean = folder.means(keys, m_config.kv_heads);
    } else {
        // A mean of the keys adds the same number to all scores of a query, which softmax ignores: it is
        // dropped.
        weights.query = folder.transposedDecodeRows(original.query, keys, rank, m_config.query_heads);
    }
}

void LayerFolding::foldValues(Folder& folder, const AttentionWeights& original, int layer,
                              AttentionWeights& weights) const {
    const std::vector<HeadBasis> values = bases(layer, Side::Values);
    const int rank = m_config.valueWidth(layer);
    weights.value_width = rank;
    weights.value = folder.encodeRows(original.value, values, rank);
    weights.output = folder.decodeColumns(original.output, values, rank, m_config.query_heads);
}

AttentionWeights LayerFolding::fold(Folder& folder, const AttentionWeights& original, int layer) const {
    AttentionWeights weights = original;
    foldKeys(folder, original, layer, weights);
    foldValues(folder, original, layer, weights);
    return weights;
}

AttentionWeights LayerFolding::describe(const AttentionWeights& original, int layer) const {
    AttentionWeights weights = original;
    const std::int64_t count = m_spectrum->heads(), hidden = m_config.hidden_size;
    const bool key_means = hasMeans(layer, Side::Keys), value_means = hasMeans(layer, Side::Values);
    const auto linear = [](const Linear& from, std::int64_t outputs, std::int64_t inputs, bool means) {
        Linear result;
        result.weight = describedTensor(from.weight.dtype(), {outputs, inputs});
        if (means || !from.bias.empty())
            result.bias = describedTensor(DType::F32, {outputs});
        return result;
    };
    const std::int64_t rank = m_config.keyWidth(layer), value_rank = m_config.valueWidth(layer);
    weights.query_width = m_config.queryWidth(layer);
    weights.key_width = m_config.keyWidth(layer);
    weights.value_width = m_config.valueWidth(layer);
    weights.key = linear(original.key, count * rank, hidden, key_means);
    if (m_config.rebuildsKeys()) {
        const std::int64_t heads = m_config.kv_heads, rows = count * m_spectrum->basisWidth() / heads;
        weights.lift_basis = describedTensor(DType::F32, {heads, rows, rank});
        weights.lift_mean = key_means ? describedTensor(DType::F32, {heads, rows}) : Tensor();
    } else {
        weights.query = linear(original.query, m_config.query_heads * rank, hidden, false);
    }
    weights.value = linear(original.value, count * value_rank, hidden, value_means);
    weights.output = linear(original.output, hidden, m_config.query_heads * value_rank, value_means);
    return weights;
}

std::int64_t LayerFolding::bytes(const AttentionWeights& original, int layer) const {
    const AttentionWeights low = describe(original, layer);
    std::int64_t total = static_cast<std::int64_t>(low.lift_basis.bytes() + low.lift_mean.bytes());
    std::int64_t on_their_way = 0;
    for (const auto& [before, after] :
         {std::pair(&original.query, &low.query), std::pair(&original.key, &low.key),
          std::pair(&original.value, &low.value), std::pair(&original.output, &low.output)}) {
        const auto bytes = [](const Linear& l) {
            return static_cast<std::int64_t>(l.weight.bytes() + l.bias.bytes());
        };
        const auto elements = [](const Linear& l) { return l.weight.shape().count(); };
        total += bytes(*after);
        // Both as the device has them and in float64.
        on_their_way = std::max(on_their_way,
                                bytes(*before) + bytes(*after) + 8 * (elements(*before) + elements(*after)));
    }
    return total + on_their_way;
}

}  // namespace eigenscope
