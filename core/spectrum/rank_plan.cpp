// SPDX-License-Identifier: Apache-2.0
#include "core/spectrum/rank_plan.h"

#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/base/json.h"

#include <cmath>
#include <cstdio>
#include <utility>

namespace eigenscope {

namespace {

std::string numberText(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g", value);
    return text;
}

void checkThreshold(double threshold) {
    if (!(threshold >= 0.0 && threshold <= 1.0))
        throw Error(ErrorCode::InvalidInput,
                    "threshold " + numberText(threshold) + ": expected a number from 0 to 1");
}

std::vector<int>& ranksOf(RankPlan& plan, Side side) {
    return side == Side::Keys ? plan.key_ranks : plan.value_ranks;
}
std::vector<bool>& pinnedOf(RankPlan& plan, Side side) {
    return side == Side::Keys ? plan.key_pinned : plan.value_pinned;
}

// The plan belongs to this spectrum: as many layers, and flags and ranks for each.
void checkShape(const RankPlan& plan, const Spectrum& spectrum) {
    const auto layers = static_cast<std::size_t>(spectrum.layers());
    if (plan.key_ranks.size() != layers || plan.value_ranks.size() != layers ||
        plan.key_pinned.size() != layers || plan.value_pinned.size() != layers)
        throw Error(ErrorCode::InvalidInput, "the plan has " + std::to_string(plan.key_ranks.size()) +
                                                 " layers, the statistics have " + std::to_string(layers));
}

Json boolArray(const std::vector<bool>& flags) {
    Json array = Json::array();
    for (bool flag : flags)
        array.push_back(flag);
    return array;
}

// A head is never wider than this; bounds what a plan file can claim before the model is known.
constexpr int kMaxRank = 1 << 16;

std::vector<int> readRanks(const JsonView& json) {
    std::vector<int> ranks;
    for (std::size_t i = 0; i < json.size(); ++i)
        ranks.push_back(static_cast<int>(json.at(i).integer(1, kMaxRank)));
    return ranks;
}

std::vector<bool> readFlags(const JsonView& json, std::size_t layers) {
    if (json.size() != layers)
        json.fail("expected " + std::to_string(layers) + " entries, one a layer, found " +
                  std::to_string(json.size()));
    std::vector<bool> flags;
    for (std::size_t i = 0; i < layers; ++i)
        flags.push_back(json.at(i).boolean());
    return flags;
}

double readThreshold(const JsonView& json) {
    const double value = json.number();
    if (!(value >= 0.0 && value <= 1.0))
        json.fail("expected a number from 0 to 1");
    return value;
}

}  // namespace

std::string_view nameOf(Allocation allocation) {
    return allocation == Allocation::Sensitivity ? "sensitivity" : "threshold";
}

Allocation allocationFromName(std::string_view name) {
    for (Allocation allocation : {Allocation::Threshold, Allocation::Sensitivity}) {
        if (name == nameOf(allocation))
            return allocation;
    }
    throw Error(ErrorCode::InvalidInput,
                "unknown allocation '" + std::string(name) + "', expected threshold or sensitivity");
}

RankPlan fullPlan(const Spectrum& spectrum, int rank_multiple) {
    if (rank_multiple < 1 || rank_multiple > kMaxRank)
        throw Error(ErrorCode::InvalidInput,
                    "rank multiple " + std::to_string(rank_multiple) + ": expected 1 or more");
    RankPlan plan;
    plan.method = spectrum.method();
    plan.share_key_basis = spectrum.options().share_key_basis;
    plan.rank_multiple = rank_multiple;
    const auto layers = static_cast<std::size_t>(spectrum.layers());
    plan.key_ranks.assign(layers, spectrum.headDim());
    plan.value_ranks.assign(layers, spectrum.headDim());
    plan.key_pinned.assign(layers, false);
    plan.value_pinned.assign(layers, false);
    return plan;
}

void applyThresholds(RankPlan& plan, const Spectrum& spectrum, double key_threshold, double value_threshold) {
    checkThreshold(key_threshold);
    checkThreshold(value_threshold);
    checkShape(plan, spectrum);
    plan.key_threshold = key_threshold;
    plan.value_threshold = value_threshold;
    plan.allocation = Allocation::Threshold;
    for (Side side : {Side::Keys, Side::Values}) {
        const double threshold = side == Side::Keys ? key_threshold : value_threshold;
        for (int layer = 0; layer < spectrum.layers(); ++layer) {
            const auto i = static_cast<std::size_t>(layer);
            if (!pinnedOf(plan, side)[i])
                ranksOf(plan, side)[i] =
                    spectrum.rankOf(layer, side, threshold, plan.criterion, plan.rank_multiple);
        }
    }
}

void applyKvRatio(RankPlan& plan, const Spectrum& spectrum, double target) {
    if (!(target > 0.0 && target <= 1.0))
        throw Error(ErrorCode::InvalidInput,
                    "KV ratio " + numberText(target) + ": expected a number above 0, at most 1");
    RankPlan trial = plan;
    const auto fits = [&](double threshold) {
        applyThresholds(trial, spectrum, threshold, threshold);
        // Ranks are integers, so the ratio is a count; the slack is for targets such as 0.6 that binary
        // cannot hold.
        return kvRatioOf(trial, spectrum.headDim()) <= target + 1e-10;
    };
    if (fits(1.0)) {
        plan = std::move(trial);
        return;
    }
    if (!fits(0.0))
        throw Error(ErrorCode::InvalidInput, "KV ratio " + numberText(target) +
                                                 " cannot be had: the smallest ranks give " +
                                                 numberText(kvRatioOf(trial, spectrum.headDim())));
    // Ranks only grow with the threshold, so bisection finds the step; 60 halvings reach the spacing of
    // doubles.
    double low = 0.0, high = 1.0;
    for (int i = 0; i < 60; ++i) {
        const double middle = low + (high - low) / 2;
        if (middle <= low || middle >= high)
            break;
        (fits(middle) ? low : high) = middle;
    }
    applyThresholds(plan, spectrum, low, low);
}

void pinRank(RankPlan& plan, const Spectrum& spectrum, Side side, int layer, int rank) {
    checkShape(plan, spectrum);
    if (layer < 0 || layer >= spectrum.layers())
        throw Error(ErrorCode::InvalidInput, "layer " + std::to_string(layer) + ": expected 0 to " +
                                                 std::to_string(spectrum.layers() - 1));
    if (rank < 1 || rank > spectrum.headDim())
        throw Error(ErrorCode::InvalidInput,
                    "rank " + std::to_string(rank) + ": expected 1 to " + std::to_string(spectrum.headDim()));
    ranksOf(plan, side)[static_cast<std::size_t>(layer)] = rank;
    pinnedOf(plan, side)[static_cast<std::size_t>(layer)] = true;
}

void unpin(RankPlan& plan, const Spectrum& spectrum, Side side, int layer) {
    checkShape(plan, spectrum);
    const auto i = static_cast<std::size_t>(layer);
    pinnedOf(plan, side).at(i) = false;
    const double threshold = side == Side::Keys ? plan.key_threshold : plan.value_threshold;
    ranksOf(plan, side).at(i) = spectrum.rankOf(layer, side, threshold, plan.criterion, plan.rank_multiple);
}

double kvRatioOf(const RankPlan& plan, int head_dim) {
    return kvRatioOf(plan.key_ranks, plan.value_ranks, plan.kv_bits, head_dim);
}

double rankRatioOf(const RankPlan& plan, int head_dim) {
    return kvRatioOf(plan.key_ranks, plan.value_ranks, {}, head_dim);
}

double expectedErrorOf(const RankPlan& plan, const Spectrum& spectrum) {
    checkShape(plan, spectrum);
    double sum = 0;
    for (int layer = 0; layer < spectrum.layers(); ++layer) {
        const auto i = static_cast<std::size_t>(layer);
        const double keys = spectrum.expectedError(layer, Side::Keys, plan.key_ranks[i]);
        const double values = spectrum.expectedError(layer, Side::Values, plan.value_ranks[i]);
        sum += keys * keys + values * values;
    }
    return spectrum.layers() > 0 ? std::sqrt(sum / (2.0 * spectrum.layers())) : 0.0;
}

void savePlan(const RankPlan& plan, const std::filesystem::path& file) {
    Json json;
    json["version"] = RankPlan::kVersion;
    json["method"] = plan.method;
    json["criterion"] = nameOf(plan.criterion);
    json["share_key_basis"] = plan.share_key_basis;
    json["allocation"] = nameOf(plan.allocation);
    json["rank_multiple"] = plan.rank_multiple;
    json["key_ranks"] = plan.key_ranks;
    json["value_ranks"] = plan.value_ranks;
    json["pinned"] = {{"keys", boolArray(plan.key_pinned)}, {"values", boolArray(plan.value_pinned)}};
    json["thresholds"] = {{"keys", plan.key_threshold}, {"values", plan.value_threshold}};
    writeKvBits(plan.kv_bits, json);
    writeTextFile(file, json.dump(2) + "\n");
}

RankPlan loadPlan(const std::filesystem::path& file) {
    const Json json = readJsonFile(file);
    const JsonView root(json, file);
    root.at("version").integer(RankPlan::kVersion, RankPlan::kVersion);
    RankPlan plan;
    plan.method = root.at("method").string();
    try {
        basisMethod(plan.method);
    } catch (const Error& error) {
        root.at("method").fail(error.what());
    }
    try {
        plan.criterion = criterionFromName(root.at("criterion").string());
    } catch (const Error& error) {
        failField(file, "criterion", "expected energy or singular-values");
    }
    // What the contract does not require has the defaults of a plan; a hand-written file may leave it out.
    plan.share_key_basis = root.booleanOr("share_key_basis", plan.share_key_basis);
    plan.rank_multiple = static_cast<int>(root.integerOr("rank_multiple", plan.rank_multiple, 1, kMaxRank));
    if (const auto allocation = root.find("allocation")) {
        try {
            plan.allocation = allocationFromName(allocation->string());
        } catch (const Error&) {
            failField(file, "allocation", "expected threshold or sensitivity");
        }
    }
    plan.key_ranks = readRanks(root.at("key_ranks"));
    plan.value_ranks = readRanks(root.at("value_ranks"));
    const std::size_t layers = plan.key_ranks.size();
    if (layers == 0)
        failField(file, "key_ranks", "is empty, expected one rank a layer");
    if (plan.value_ranks.size() != layers)
        failField(file, "value_ranks",
                  "expected " + std::to_string(layers) + " ranks, as many as key_ranks, found " +
                      std::to_string(plan.value_ranks.size()));
    plan.kv_bits = readKvBits(root, layers);
    plan.key_pinned.assign(layers, false);
    plan.value_pinned.assign(layers, false);
    if (const auto pinned = root.find("pinned")) {
        plan.key_pinned = readFlags(pinned->at("keys"), layers);
        plan.value_pinned = readFlags(pinned->at("values"), layers);
    }
    if (const auto thresholds = root.find("thresholds")) {
        plan.key_threshold = readThreshold(thresholds->at("keys"));
        plan.value_threshold = readThreshold(thresholds->at("values"));
    }
    return plan;
}

void checkPlan(const RankPlan& plan, int layers, int head_dim, const std::filesystem::path& file) {
    for (Side side : {Side::Keys, Side::Values}) {
        const std::string field = side == Side::Keys ? "key_ranks" : "value_ranks";
        const std::vector<int>& ranks = side == Side::Keys ? plan.key_ranks : plan.value_ranks;
        if (ranks.size() != static_cast<std::size_t>(layers))
            failField(
                file, field,
                "has " + std::to_string(ranks.size()) + " layers, the model has " + std::to_string(layers));
        for (std::size_t i = 0; i < ranks.size(); ++i) {
            if (ranks[i] < 1 || ranks[i] > head_dim)
                failField(file, field + "[" + std::to_string(i) + "]",
                          "rank " + std::to_string(ranks[i]) + ": expected 1 to the head dimension, " +
                              std::to_string(head_dim));
        }
        const std::vector<int>& bits = side == Side::Keys ? plan.kv_bits.keys : plan.kv_bits.values;
        if (!plan.kv_bits.empty() && bits.size() != static_cast<std::size_t>(layers))
            failField(
                file, side == Side::Keys ? "key_bits" : "value_bits",
                "has " + std::to_string(bits.size()) + " layers, the model has " + std::to_string(layers));
    }
}

}  // namespace eigenscope
