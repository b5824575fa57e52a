// SPDX-License-Identifier: GPL-3.0-or-later
// What a user asks the benchmark for, and how lists of numbers are read and written. Pure values and
// functions.
#pragma once

#include "core/model/kv_format.h"

#include <QString>

#include <cstdint>
#include <optional>
#include <vector>

namespace eigenscope {

// The models that can be measured: the open original, its conversion in memory, the other checkpoint.
enum class BenchmarkModel { Original, Conversion, Checkpoint };
inline constexpr BenchmarkModel kBenchmarkModels[] = {BenchmarkModel::Original, BenchmarkModel::Conversion,
                                                      BenchmarkModel::Checkpoint};

struct BenchmarkRequest {
    std::vector<BenchmarkModel> models;
    std::vector<std::int64_t> contexts;
    std::vector<int> batches;
    int new_tokens = 32, repetitions = 3;
    bool prefill = true;
    std::optional<KvFormat> kv_format;  // empty: automatic
};

// "512, 2048 8k" -> {512, 2048, 8192}: whole numbers from 1 to `most`, each once, k for 1,024. Empty, with
// one line in *error, when a part is no such number or there is none.
std::vector<std::int64_t> numberList(const QString& text, std::int64_t most, QString* error);
QString listText(const std::vector<std::int64_t>& numbers);  // "512, 2048"

// Four contexts up to what the model has positions for, and no longer than 8,192.
std::vector<std::int64_t> suggestedContexts(std::int64_t max_positions);

// A format as one line of settings, "q4/64/channel/32"; empty: automatic.
QString formatSetting(const std::optional<KvFormat>& format);
std::optional<KvFormat> formatFromSetting(const QString& text);

}  // namespace eigenscope
