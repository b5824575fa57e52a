// SPDX-License-Identifier: Apache-2.0
#include "core/compression/convert.h"

#include "core/compression/attention_overlay.h"
#include "core/compression/layer_folding.h"
#include "kernels/api/error.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

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

// Shared with its owner where it has one; bases of a streamed model are needed for as long as it runs.
std::shared_ptr<const Spectrum> shared(const Spectrum& spectrum) {
    auto owned = spectrum.weak_from_this().lock();
    return owned ? owned : std::make_shared<const Spectrum>(spectrum);
}

// Layers are described; each is folded when it is asked for.
void streamFolded(const OpenModel& original, const LayerFolding& folding, Model& model) {
    std::int64_t most = 0;
    for (int layer = 0; layer < model.config.layers; ++layer) {
        AttentionWeights& attention = model.layers[static_cast<std::size_t>(layer)].attention;
        most = std::max(most, folding.bytes(attention, layer));
        attention = folding.describe(attention, layer);
    }
    const auto make = [folding, backend = original.backend](int layer, const AttentionWeights& below,
                                                            const std::stop_token& stop) {
        const JobContext job(stop);
        Folder folder(*backend, job);
        return folding.fold(folder, below, layer);
    };
    model.source = std::make_shared<AttentionOverlay>(original.model, make, most);
}

}  // namespace

OpenModel convertInMemory(JobContext& job, const OpenModel& original, const Statistics& statistics,
                          const Spectrum& spectrum, const RankPlan& plan) {
    checkStatistics(original, statistics);
    checkSpectrum(original.model->config, spectrum, plan);
    auto model = std::make_shared<Model>(*original.model);
    model->config.low_rank = describe(original, statistics, plan);
    const LayerFolding folding(model->config, shared(spectrum), plan);
    const int layers = model->config.layers;
    if (original.model->streamed()) {
        streamFolded(original, folding, *model);
    } else {
        Folder folder(*original.backend, job);
        for (int layer = 0; layer < layers; ++layer) {
            job.checkCancelled();
            job.progress("converting layers", layer, layers);
            AttentionWeights& attention = model->layers[static_cast<std::size_t>(layer)].attention;
            attention = folding.fold(folder, attention, layer);
        }
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
    const LayerFolding folding(model->config, shared(spectrum), plan);
    Folder folder(*original.backend, job);
    AttentionWeights after, own;
    {
        const LayerLease lease = original.model->layer(layer, job.stopToken());
        const AttentionWeights& before = lease->attention;
        after = before;
        // Heads that share a latent do so for keys and values alike: the other side is then of full rank.
        const bool joint = plan.head_group > 1;
        if (key_rank || joint)
            folding.foldKeys(folder, before, layer, after);
        if (value_rank || joint)
            folding.foldValues(folder, before, layer, after);
        own = ownPart(after, before);
        if (original.model->streamed())
            after = {};  // it would keep the layer in memory
    }
    if (original.model->streamed()) {
        const std::int64_t bytes = folding.bytes(original.model->layers.at(i).attention, layer);
        model->source = std::make_shared<AttentionOverlay>(
            original.model,
            [layer, own](int of, const AttentionWeights& below, const std::stop_token&) {
                return of == layer ? own : below;
            },
            bytes);
    } else {
        model->layers.at(i).attention = std::move(after);
    }
    OpenModel converted = original;
    converted.model = std::move(model);
    return converted;
}

}  // namespace eigenscope
