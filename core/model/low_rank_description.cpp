// SPDX-License-Identifier: Apache-2.0
#include "core/model/low_rank_description.h"

#include <limits>

namespace eigenscope {

namespace {

constexpr std::int64_t kMaxCount = std::numeric_limits<std::int64_t>::max();

std::vector<int> readRanks(const JsonView& ranks, int layers, int head_dim) {
    if (ranks.size() != static_cast<std::size_t>(layers)) {
        ranks.fail("has " + std::to_string(ranks.size()) + " entries, expected one for each of the " +
                   std::to_string(layers) + " layers");
    }
    std::vector<int> result;
    for (std::size_t i = 0; i < ranks.size(); ++i) {
        result.push_back(static_cast<int>(ranks.at(i).integer(1, head_dim)));
    }
    return result;
}

CalibrationSummary readCalibration(const JsonView& json) {
    CalibrationSummary summary;
    summary.text = json.stringOr("text", "");
    summary.fingerprint = json.stringOr("fingerprint", "");
    summary.samples = json.integerOr("samples", 0, 0, kMaxCount);
    summary.sequence_length = json.integerOr("sequence_length", 0, 0, kMaxCount);
    summary.average_samples = json.integerOr("average_samples", 1, 1, kMaxCount);
    if (json.has("attention_queries"))
        summary.attention_queries = json.integer("attention_queries", 0, kMaxCount);
    if (const auto seed = json.find("seed")) {
        // Seeds use all 64 bits, more than integer() takes.
        if (!seed->json().is_number_unsigned()) {
            seed->fail("expected an integer that is not negative");
        }
        summary.seed = seed->json().get<std::uint64_t>();
    }
    return summary;
}

std::optional<RefitSummary> readRefit(const JsonView& json) {
    const auto refit = json.find("refit");
    if (!refit)
        return std::nullopt;
    if (!refit->json().is_object())
        refit->fail("expected an object, or null");
    RefitSummary summary;
    summary.text = refit->stringOr("text", "");
    summary.fingerprint = refit->stringOr("fingerprint", "");
    summary.windows = refit->integerOr("windows", 0, 0, kMaxCount);
    summary.sequence_length = refit->integerOr("sequence_length", 0, 0, kMaxCount);
    summary.ridge = refit->numberOr("ridge", 0.0);
    return summary;
}

}  // namespace

Json toJson(const LowRankDescription& description) {
    const CalibrationSummary& calibration = description.calibration;
    Json json{{"version", LowRankDescription::kVersion},
              {"method", description.method},
              {"criterion", description.criterion},
              {"source", description.source},
              {"calibration",
               {{"text", calibration.text},
                {"fingerprint", calibration.fingerprint},
                {"samples", calibration.samples},
                {"sequence_length", calibration.sequence_length},
                {"seed", calibration.seed},
                {"average_samples", calibration.average_samples}}},
              {"head_group", description.head_group},
              {"key_ranks", description.key_ranks},
              {"value_ranks", description.value_ranks},
              {"kv_ratio", description.kv_ratio},
              {"share_key_basis", description.share_key_basis},
              {"center", description.center}};
    if (!description.source_fingerprint.empty())
        json["source_fingerprint"] = description.source_fingerprint;
    if (calibration.attention_queries)
        json["calibration"]["attention_queries"] = *calibration.attention_queries;
    if (description.refit)
        json["refit"] = {{"text", description.refit->text},
                         {"fingerprint", description.refit->fingerprint},
                         {"windows", description.refit->windows},
                         {"sequence_length", description.refit->sequence_length},
                         {"ridge", description.refit->ridge}};
    writeKvBits(description.kv_bits, json);
    return json;
}

LowRankDescription readLowRankDescription(const JsonView& json, int layers, int kv_heads, int head_dim) {
    if (!json.json().is_object()) {
        json.fail("expected an object");
    }
    const std::int64_t version = json.integer("version", 1, kMaxCount);
    if (version != LowRankDescription::kVersion) {
        json.at("version").fail("version " + std::to_string(version) + " is newer than this program reads (" +
                                std::to_string(LowRankDescription::kVersion) + ")");
    }
    LowRankDescription description;
    description.method = json.stringOr("method", "eigen");
    description.criterion = json.stringOr("criterion", "energy");
    description.source = json.stringOr("source", "");
    description.source_fingerprint = json.stringOr("source_fingerprint", "");
    description.refit = readRefit(json);
    if (const auto calibration = json.find("calibration")) {
        description.calibration = readCalibration(*calibration);
    }
    description.head_group = static_cast<int>(json.integerOr("head_group", 1, 1, kv_heads));
    if (kv_heads % description.head_group != 0) {
        json.at("head_group")
            .fail(std::to_string(description.head_group) + " does not divide the " +
                  std::to_string(kv_heads) + " key/value heads");
    }
    const int width = description.head_group * head_dim;
    description.key_ranks = readRanks(json.at("key_ranks"), layers, width);
    description.value_ranks = readRanks(json.at("value_ranks"), layers, width);
    description.share_key_basis = json.booleanOr("share_key_basis", false);
    description.center = json.booleanOr("center", false);
    description.kv_bits = readKvBits(json, static_cast<std::size_t>(layers));
    // Ranks and bits decide what is allocated, so the ratio follows from them whatever the file says.
    description.kv_ratio =
        kvRatioOf(description.key_ranks, description.value_ranks, description.kv_bits, width);
    return description;
}

}  // namespace eigenscope
