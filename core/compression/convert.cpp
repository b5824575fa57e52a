// SPDX-License-Identifier: Apache-2.0
#include "core/compression/convert.h"

#include "core/compression/folding.h"
#include "core/compression/spread.h"
#include "kernels/api/error.h"

#include <cstdlib>

namespace eigenscope {

namespace {

[[noreturn]] void fail(const std::string& message) { throw Error(ErrorCode::InvalidInput, message); }

void checkStatistics(const OpenModel& original, const Statistics& statistics) {
    const ModelConfig& config = original.model->config;
    if (config.low_rank)
        fail(original.name + ": is a converted model already; convert the original");
    if (!config.linearProjections())
        throw Error(ErrorCode::Unsupported,
                    original.name + ": " + (config.qk_norm ? "qk_ln" : "clip_qkv") +
                        " stands between its projections and attention, so no basis can be folded into them; "
                        "this model cannot be converted");
    if (statistics.model_fingerprint != original.checkpoint->fingerprint())
        fail("the statistics were made from " + statistics.model_name +
             ", whose weights differ from those of " + original.name + "; calibrate this model");
    const bool fits = statistics.layers.size() == static_cast<std::size_t>(config.layers) &&
                      statistics.kv_heads == config.kv_heads &&
                      statistics.query_heads == config.query_heads && statistics.head_dim == config.head_dim;
    if (!fits)
        fail("the statistics have other layers or heads than " + original.name);
}

std::string basisText(const std::string& method, const BasisOptions& options) {
    return "method " + method + (options.share_key_basis ? " with a shared key basis" : "") +
           (options.center ? ", centred" : "") +
           (options.head_group > 1 ? ", " + std::to_string(options.head_group) + " heads a latent" : "");
}

void checkSpectrum(const ModelConfig& config, const Spectrum& spectrum, const RankPlan& plan) {
    const int group = spectrum.options().head_group;
    if (spectrum.layers() != config.layers || spectrum.heads() * group != config.kv_heads ||
        spectrum.basisWidth() != config.head_dim * group)
        fail("the spectrum has other layers or heads than the model");
    if (spectrum.method() != plan.method || spectrum.options() != plan.basisOptions())
        fail("the plan was made for " + basisText(plan.method, plan.basisOptions()) + ", the spectrum for " +
             basisText(spectrum.method(), spectrum.options()));
    checkPlan(plan, config.layers, spectrum.basisWidth(), "plan");
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
    weights.key = folder.encodeRows(original.key, keys, rank);
    if (config.rebuildsKeys()) {
        weights.lift_basis = folder.decoders(keys, rank, config.kv_heads);
        weights.lift_mean = folder.means(keys, config.kv_heads);
    } else {
        // A mean of the keys adds the same number to all scores of a query, which softmax ignores: it is
        // dropped.
        weights.query = folder.transposedDecodeRows(original.query, keys, rank, config.query_heads);
    }
}

void foldValues(Folder& folder, const ModelConfig& config, const AttentionWeights& original,
                const std::vector<HeadBasis>& values, int layer, AttentionWeights& weights) {
    const int rank = config.valueWidth(layer);
    weights.value_width = rank;
    weights.value = folder.encodeRows(original.value, values, rank);
    weights.output = folder.decodeColumns(original.output, values, rank, config.query_heads);
}

LowRankDescription describe(const OpenModel& original, const Statistics& statistics, const RankPlan& plan) {
    LowRankDescription description;
    description.method = plan.method;
    description.criterion = nameOf(plan.criterion);
    description.source = original.name;
    description.source_fingerprint = statistics.model_fingerprint;
    description.calibration = statistics.calibration;
    for (const auto& [name, value] : statistics.identity) {
        if (name == "attention queries")
            description.calibration.attention_queries = std::atoll(value.c_str());
    }
    description.key_ranks = plan.key_ranks;
    description.value_ranks = plan.value_ranks;
    description.kv_bits = plan.kv_bits;
    description.kv_ratio = kvRatioOf(plan, statistics.head_dim * plan.head_group);
    description.head_group = plan.head_group;
    description.share_key_basis = plan.share_key_basis;
    description.center = plan.center;
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

OpenModel convertOneLayer(const JobContext& job, const OpenModel& original, const Statistics& statistics,
                          const Spectrum& spectrum, int layer, std::optional<int> key_rank,
                          std::optional<int> value_rank, const KvBits& bits) {
    checkStatistics(original, statistics);
    RankPlan plan = fullPlan(spectrum, 1);
    plan.kv_bits = bits;
    const auto i = static_cast<std::size_t>(layer);
    plan.key_ranks.at(i) = key_rank.value_or(spectrum.basisWidth());
    plan.value_ranks.at(i) = value_rank.value_or(spectrum.basisWidth());
    checkSpectrum(original.model->config, spectrum, plan);
    auto model = std::make_shared<Model>(*original.model);
    model->config.low_rank = describe(original, statistics, plan);
    Folder folder(*original.backend, job);
    const AttentionWeights& before = original.model->layers[i].attention;
    AttentionWeights& after = model->layers[i].attention;
    // Heads that share a latent do so for keys and values alike: the other side is then of full rank.
    const bool joint = plan.head_group > 1;
    if (key_rank || joint)
        foldKeys(folder, model->config, before, basesOf(spectrum, plan, layer, Side::Keys), layer, after);
    if (value_rank || joint)
        foldValues(folder, model->config, before, basesOf(spectrum, plan, layer, Side::Values), layer, after);
    OpenModel converted = original;
    converted.model = std::move(model);
    return converted;
}

}  // namespace eigenscope
