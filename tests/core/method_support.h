// SPDX-License-Identifier: Apache-2.0
// What the tests of calibration, spectra, conversion and evaluation share: the golden data of
// tests/golden/method and made-up statistics.
#pragma once

#include "core/calibration/calibrate.h"
#include "core/calibration/statistics.h"
#include "core/evaluation/perplexity.h"
#include "core/model/model.h"
#include "core/spectrum/rank_plan.h"
#include "tests/support/error_text.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace eigenscope::test {

// One of the tiny models of tests/golden/method and what transformers and numpy found for it in float64.
struct MethodGolden {
    OpenModel open;
    std::filesystem::path text;  // calibration and evaluation text
    Json expected;
    std::shared_ptr<const SafetensorsFile> data;

    std::vector<double> numbers(const std::string& name) const;  // of an F64 or F32 tensor
    std::vector<TokenId> ids(const std::string& name) const;     // of an I32 tensor
    const TensorRecord& record(const std::string& name) const { return data->at(name); }
};

std::vector<std::string> methodGoldenNames();  // "llama", "opt", "mpt"
std::filesystem::path methodGoldenDirectory(const std::string& name);
MethodGolden openMethodGolden(const std::string& name, std::shared_ptr<Backend> backend);
CalibrationOptions goldenCalibration(const MethodGolden& golden);  // how it was calibrated
PerplexityOptions goldenWindows(const MethodGolden& golden);       // what two models were compared on

// Statistics of random rows, the same for the same seed on every machine; consistent and savable.
Statistics randomStatistics(int layers, int query_heads, int kv_heads, int head_dim, bool rotary,
                            std::uint64_t seed);

// A conversion and what it was made from.
struct Conversion {
    Statistics statistics;
    std::shared_ptr<const Spectrum> spectrum;
    RankPlan plan;
    OpenModel converted;
};
// Calibrates as the golden data was made and converts at its threshold (energy, any rank).
Conversion convertAsExpected(const MethodGolden& golden);

// Logits [ids, vocab] of one call sequence in chunks of `chunk` tokens, on the host.
std::vector<float> allLogits(const OpenModel& model, const std::vector<TokenId>& ids,
                             std::int64_t chunk = 256);

// Largest difference over the range of `expected`.
double relativeDifference(const std::vector<float>& found, const std::vector<float>& expected);

// Entries of a directory, hidden ones too.
std::vector<std::string> entriesOf(const std::filesystem::path& directory);

}  // namespace eigenscope::test
