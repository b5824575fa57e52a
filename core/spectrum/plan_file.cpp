// SPDX-License-Identifier: Apache-2.0
#include "core/spectrum/plan_file.h"

#include "core/base/atomic_output.h"

namespace eigenscope {

namespace {

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

bool hasLayerThresholds(const RankPlan& plan) {
    for (const auto* thresholds : {&plan.key_layer_thresholds, &plan.value_layer_thresholds}) {
        for (const std::optional<double>& threshold : *thresholds) {
            if (threshold)
                return true;
        }
    }
    return false;
}

// null for a layer without a threshold of its own.
Json thresholdArray(const std::vector<std::optional<double>>& thresholds) {
    Json array = Json::array();
    for (const std::optional<double>& threshold : thresholds)
        array.push_back(threshold ? Json(*threshold) : Json(nullptr));
    return array;
}

std::vector<std::optional<double>> readLayerThresholds(const JsonView& json, std::size_t layers) {
    if (json.size() != layers)
        json.fail("expected " + std::to_string(layers) + " entries, one a layer, found " +
                  std::to_string(json.size()));
    std::vector<std::optional<double>> thresholds(layers);
    for (std::size_t i = 0; i < layers; ++i) {
        if (!json.at(i).json().is_null())
            thresholds[i] = readThreshold(json.at(i));
    }
    return thresholds;
}

}  // namespace

Json planJson(const RankPlan& plan) {
    Json json;
    json["version"] = RankPlan::kVersion;
    json["method"] = plan.method;
    json["criterion"] = nameOf(plan.criterion);
    json["share_key_basis"] = plan.share_key_basis;
    json["center"] = plan.center;
    json["head_group"] = plan.head_group;
    json["allocation"] = nameOf(plan.allocation);
    if (plan.kv_target)
        json["kv_target"] = *plan.kv_target;
    if (plan.allocation == Allocation::ErrorBudget || plan.error_budget > 0)
        json["error_budget"] = plan.error_budget;
    json["rank_multiple"] = plan.rank_multiple;
    json["key_ranks"] = plan.key_ranks;
    json["value_ranks"] = plan.value_ranks;
    json["pinned"] = {{"keys", boolArray(plan.key_pinned)}, {"values", boolArray(plan.value_pinned)}};
    json["thresholds"] = {{"keys", plan.key_threshold}, {"values", plan.value_threshold}};
    if (hasLayerThresholds(plan))
        json["layer_thresholds"] = {{"keys", thresholdArray(plan.key_layer_thresholds)},
                                    {"values", thresholdArray(plan.value_layer_thresholds)}};
    writeKvBits(plan.kv_bits, json);
    if (plan.kv_bits.empty() && plan.kv_bits != KvBits())
        writeKvGroups(plan.kv_bits, json);
    if (plan.mixed_bits)
        json["mixed_bits"] = true;
    return json;
}

RankPlan readPlan(const JsonView& root) {
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
        root.at("criterion").fail("expected energy or singular-values");
    }
    // What the contract does not require has the defaults of a plan; a hand-written file may leave it out.
    plan.share_key_basis = root.booleanOr("share_key_basis", plan.share_key_basis);
    plan.center = root.booleanOr("center", plan.center);
    plan.head_group = static_cast<int>(root.integerOr("head_group", plan.head_group, 1, 1 << 12));
    plan.rank_multiple = static_cast<int>(root.integerOr("rank_multiple", plan.rank_multiple, 1, kMaxRank));
    if (const auto allocation = root.find("allocation")) {
        try {
            plan.allocation = allocationFromName(allocation->string());
        } catch (const Error&) {
            allocation->fail("expected threshold, error-budget or sensitivity");
        }
    }
    if (const auto target = root.find("kv_target")) {
        plan.kv_target = target->number();
        if (!(*plan.kv_target > 0.0 && *plan.kv_target <= 1.0))
            target->fail("expected a number above 0, at most 1");
    }
    if (const auto budget = root.find("error_budget")) {
        plan.error_budget = budget->number();
        if (!(plan.error_budget >= 0.0))
            budget->fail("expected a number from 0");
    }
    plan.key_ranks = readRanks(root.at("key_ranks"));
    plan.value_ranks = readRanks(root.at("value_ranks"));
    const std::size_t layers = plan.key_ranks.size();
    if (layers == 0)
        root.at("key_ranks").fail("is empty, expected one rank a layer");
    if (plan.value_ranks.size() != layers)
        root.at("value_ranks")
            .fail("expected " + std::to_string(layers) + " ranks, as many as key_ranks, found " +
                  std::to_string(plan.value_ranks.size()));
    plan.kv_bits = readKvBits(root, layers);
    if (plan.kv_bits.empty())
        readKvGroups(root, plan.kv_bits);
    plan.mixed_bits = root.booleanOr("mixed_bits", false);
    if (plan.mixed_bits && plan.allocation != Allocation::Sensitivity)
        root.at("mixed_bits").fail("belongs to allocation sensitivity");
    plan.key_pinned.assign(layers, false);
    plan.value_pinned.assign(layers, false);
    if (const auto pinned = root.find("pinned")) {
        plan.key_pinned = readFlags(pinned->at("keys"), layers);
        plan.value_pinned = readFlags(pinned->at("values"), layers);
    }
    plan.key_layer_thresholds.assign(layers, std::nullopt);
    plan.value_layer_thresholds.assign(layers, std::nullopt);
    if (const auto own = root.find("layer_thresholds")) {
        plan.key_layer_thresholds = readLayerThresholds(own->at("keys"), layers);
        plan.value_layer_thresholds = readLayerThresholds(own->at("values"), layers);
    }
    if (const auto thresholds = root.find("thresholds")) {
        plan.key_threshold = readThreshold(thresholds->at("keys"));
        plan.value_threshold = readThreshold(thresholds->at("values"));
    }
    return plan;
}

void savePlan(const RankPlan& plan, const std::filesystem::path& file) {
    writeTextFile(file, planJson(plan).dump(2) + "\n");
}

RankPlan loadPlan(const std::filesystem::path& file) {
    const Json json = readJsonFile(file);
    return readPlan(JsonView(json, file));
}

}  // namespace eigenscope
