// SPDX-License-Identifier: Apache-2.0
// What calibration keeps: second moments and means in float64, constant in size however long the text. Plain values.
#pragma once

#include "core/base/job_context.h"
#include "core/model/low_rank_description.h"
#include "kernels/api/ops.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace eigenscope {

// Sums over rows x of one kind of vector, for each key/value head.
struct Moments {
    int heads = 0, width = 0;
    std::int64_t rows = 0;      // rows added per head (query kinds: rows * group)
    std::vector<double> gram;   // [heads, width, width], sum x x^T
    std::vector<double> sum;    // [heads, width], sum x

    Moments() = default;
    Moments(int heads, int width);
    std::span<const double> gramOf(int head) const;
    std::span<const double> sumOf(int head) const;
};

// Keys and queries before RoPE. Queries and outputs of a group's query heads are added to their key/value head.
struct LayerStatistics {
    Moments keys, queries, values, outputs;
};

struct Statistics {
    static constexpr int kVersion = 1;
    std::string model_name, model_fingerprint, family;
    bool rotary = false;                 // keys are rotated after the projection
    int query_heads = 0, kv_heads = 0, head_dim = 0;
    CalibrationSummary calibration;
    std::int64_t tokens = 0;
    std::vector<LayerStatistics> layers;
    std::vector<std::vector<TokenId>> probe_windows;  // a few of the sampled windows, for measuring layer errors
};

// `*.stats.safetensors`, written whole or not at all. Tensors layers.<i>.<keys|queries|values|outputs>.<gram|sum> (F64),
// probe_windows (I32 [windows, length]); the rest in the metadata.
void saveStatistics(const Statistics& statistics, const std::filesystem::path& file);
Statistics loadStatistics(const std::filesystem::path& file);

}  // namespace eigenscope
