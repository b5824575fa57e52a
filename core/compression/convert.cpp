// SPDX-License-Identifier: Apache-2.0
#include "core/compression/convert.h"

#include "core/compression/folding.h"
#include "core/compression/spread.h"
#include "kernels/api/error.h"

namespace eigenscope {

namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorCode::InvalidInput, message); }

void checkStatistics(const OpenModel& original, const Statistics& statistics) {
    const ModelConfig& config = original.model->config;
    if (config.low_rank)
        fail(original.name + ": is a converted model already; convert the original");
    if (statistics.model_fingerprint != original.checkpoint->fingerprint())
        fail("the statistics were made from " + statistics.model_name +
             ", whose weights differ from those of " + original.name + "; calibrate this model");
    const bool fits = statistics.layers.size() == static_cast<std::size_t>(config.layers) &&
                      statistics.kv_heads == config.kv_heads &&
                      statistics.query_heads == config.query_heads && statistics.head_dim == config.head_dim;
    if (!fits)
        fail("the statistics have other layers or heads than " + original.name);
}

void checkSpectrum(const ModelConfig& config, const Spectrum& spectrum, const RankPlan& plan) {
    if (spectrum.layers() != config.layers || spectrum.heads() != config.kv_heads ||
        spectrum.headDim() != config.head_dim)
        fail("the spectrum has other layers or heads than the model");
    if (spectrum.method() != plan.method || spectrum.options().share_key_basis != plan.share_key_basis)
        fail("the plan was made for method " + plan.method +
             (plan.share_key_basis ? " with a shared key basis" : "") + ", the spectrum for " +
             spectrum.method() + (spectrum.options().share_key_basis ? " with a shared key basis" : ""));
    checkPlan(plan, config.layers, config.head_dim, "plan");
}

// Of one layer's side; spread when its cache is to be quantised, which changes nothing else.
std::vector<HeadBasis> basesOf(const Spectrum& spectrum, const RankPlan& plan, int layer, Side side) {
    const auto i = static_cast<std::size_t>(layer);
    const bool keys = side == Side::Keys;
    const std::vector<int>& bits = keys ? plan.kv_bits.keys : plan.kv_bits.values;
    const bool quantised = !bits.empty() && bits.at(i) < kUnquantised;
    std::vector<HeadBasis> bases;
    for (int head = 0; head < spectrum.heads(); ++head) {
        bases.push_back(spectrum.basis(layer, side, head));
        if (quantised)
            spreadLatents(bases.back(), keys ? plan.key_ranks.at(i) : plan.value_ranks.at(i));
    }
    return bases;
}

void foldKeys(Folder& folder, const ModelConfig& config, const AttentionWeights& original,
              const std::vector<HeadBasis>& keys, int layer, AttentionWeights& weights) {
    const int rank = config.keyWidth(layer);
    weights.query_width = config.queryWidth(layer);
    weights.key_width = rank;
    weights.key = folder.encodeRows(original.key, keys, rank, 1);
    if (config.rebuildsKeys()) {
        weights.lift_basis = folder.decoders(keys, rank);
        weights.lift_mean = folder.means(keys);
    } else {
        // A mean of the keys adds the same number to all scores of a query, which softmax ignores: it is
        // dropped.
        weights.query = folder.transposedDecodeRows(original.query, keys, rank, config.group());
    }
}

void foldValues(Folder& folder, const ModelConfig& config, const AttentionWeights& original,
                const std::vector<HeadBasis>& values, int layer, AttentionWeights& weights) {
    const int rank = config.valueWidth(layer);
    weights.value_width = rank;
    weights.value = folder.encodeRows(original.value, values, rank, 1);
    weights.output = folder.decodeColumns(original.output, values, rank, config.group());
}

LowRankDescription describe(const OpenModel& original, const Statistics& statistics, const RankPlan& plan) {
    LowRankDescription description;
    description.method = plan.method;
    description.criterion = nameOf(plan.criterion);
    description.source = original.name;
    description.calibration = statistics.calibration;
    description.key_ranks = plan.key_ranks;
    description.value_ranks = plan.value_ranks;
    description.kv_bits = plan.kv_bits;
    description.kv_ratio = kvRatioOf(plan, statistics.head_dim);
    description.share_key_basis = plan.share_key_basis;
    return description;
}

}  // namespace

OpenModel convertInMemory(JobContext& job, const OpenModel& original, const Statistics& statistics,
                          const Spectrum& spectrum, const RankPlan& plan) {
    checkStatistics(original, statistics);
    checkSpectrum(original.model->config, spectrum, plan);
    auto model = std::make_shared<Model>(*original.model);
    model->config.low_rank = describe(original, statistics, plan);
    Folder folder(*original.backend, job);
    const int layers = model->config.layers;
    for (int layer = 0; layer < layers; ++layer) {
        job.checkCancelled();
        job.progress("converting layers", layer, layers);
        const AttentionWeights from = model->layers[static_cast<std::size_t>(layer)].attention;
        AttentionWeights& attention = model->layers[static_cast<std::size_t>(layer)].attention;
        foldKeys(folder, model->config, from, basesOf(spectrum, plan, layer, Side::Keys), layer, attention);
        foldValues(folder, model->config, from, basesOf(spectrum, plan, layer, Side::Values), layer,
                   attention);
    }
    job.progress("converting layers", layers, layers);
    OpenModel converted = original;
    converted.name = original.name + " (low rank)";
    converted.model = std::move(model);
    return converted;
}

OpenModel convertOneSide(const JobContext& job, const OpenModel& original, const Statistics& statistics,
                         const Spectrum& spectrum, int layer, Side side, int rank) {
    checkStatistics(original, statistics);
    RankPlan plan = fullPlan(spectrum, 1);
    (side == Side::Keys ? plan.key_ranks : plan.value_ranks).at(static_cast<std::size_t>(layer)) = rank;
    checkSpectrum(original.model->config, spectrum, plan);
    auto model = std::make_shared<Model>(*original.model);
    model->config.low_rank = describe(original, statistics, plan);
    Folder folder(*original.backend, job);
    const auto i = static_cast<std::size_t>(layer);
    (side == Side::Keys ? foldKeys : foldValues)(folder, model->config, original.model->layers[i].attention,
                                                 basesOf(spectrum, plan, layer, side), layer,
                                                 model->layers[i].attention);
    OpenModel converted = original;
    converted.model = std::move(model);
    return converted;
}

}  // namespace eigenscope
