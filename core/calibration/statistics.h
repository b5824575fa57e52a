// SPDX-License-Identifier: Apache-2.0
// What calibration keeps: second moments and means in float64, constant in size however long the text. Plain
// values.
#pragma once

#include "core/base/job_context.h"
#include "core/calibration/corpus_summary.h"
#include "core/calibration/measured_tables.h"
#include "core/model/low_rank_description.h"
#include "kernels/api/ops.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

// Sums over rows x of one kind of vector, for each key/value head.
struct Moments {
    int heads = 0, width = 0;
    std::int64_t rows = 0;     // rows added per head (query kinds: rows * group)
    std::vector<double> gram;  // [heads, width, width], sum x x^T
    std::vector<double> sum;   // [heads, width], sum x

    Moments() = default;
    Moments(int heads, int width);
    std::span<const double> gramOf(int head) const;
    std::span<const double> sumOf(int head) const;
};

// Keys and queries before RoPE. Queries and outputs of a group's query heads are added to their key/value
// head.
struct LayerStatistics {
    Moments keys, queries, values, outputs;
    // What method `attention-aware` needs besides (core/calibration/attention_moments.h); empty in statistics
    // made without it. Queries as unrotated keys see them and keys, both weighted by what a logit error does;
    // the sum of those weights (they stand in for rows, which are 0 here); the output projection's W_h^T W_h,
    // summed over the group.
    Moments logit_queries{}, logit_keys{};
    std::vector<double> logit_weights{};  // [kv_heads]
    std::vector<double> projection{};     // [kv_heads, head_dim, head_dim]
    // Of Statistics::head_group consecutive key/value heads side by side, [kv_heads / head_group] of width
    // head_group * head_dim, for latents that they share; empty when head_group is 1. Keys of the last kind
    // are weighted by the weights of all heads of the group together (it needs the attention moments).
    Moments joint_keys{}, joint_values{}, joint_logit_keys{};
    bool hasAttentionMoments() const { return !logit_weights.empty(); }
};

struct Statistics {
    static constexpr int kVersion = 1;
    std::string model_name, model_fingerprint, family;
    bool rotary = false;  // keys are rotated after the projection
    int query_heads = 0, kv_heads = 0, head_dim = 0;
    int head_group = 1;  // key/value heads that the joint moments take together; divides kv_heads
    CalibrationSummary calibration;
    CorpusSummary corpus;  // its files; none in statistics of earlier versions
    RunIdentity identity;  // of the run that made them; likewise
    std::int64_t tokens = 0;
    std::vector<LayerStatistics> layers;
    std::vector<std::vector<TokenId>> probe_windows;  // a few of the sampled windows, for layer errors
    MeasuredTables tables;
};

// `*.stats.safetensors`, written whole or not at all. Tensors
// layers.<i>.<keys|queries|values|outputs>.<gram|sum> (F64), probe_windows (I32 [windows, length]);
// layers.<i>.<logit_queries.gram|logit_keys.gram|logit_keys.sum|logit_weights| projection> (F64), all or
// none; layers.<i>.<joint_keys|joint_values|joint_logit_keys>.<gram|sum> (F64) when head_group is above 1
// (the last with the attention moments); measured tables (core/calibration/tables_file.h); the rest in the
// metadata.
void saveStatistics(JobContext& job, const Statistics& statistics, const std::filesystem::path& file);
void saveStatistics(const Statistics& statistics, const std::filesystem::path& file);
Statistics loadStatistics(const std::filesystem::path& file);

}  // namespace eigenscope
