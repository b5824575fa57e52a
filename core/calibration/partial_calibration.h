// SPDX-License-Identifier: Apache-2.0
// The sums of a calibration that is not finished, exactly as they are, so that it can go on later and end
// with the same bits as one that was never interrupted. Plain values.
#pragma once

#include "core/calibration/corpus_summary.h"

#include <cstdint>
#include <filesystem>
#include <vector>

namespace eigenscope {

struct PartialCalibration {
    RunIdentity identity;
    std::int64_t windows = 0;                 // done
    std::vector<std::vector<double>> layers;  // [layers] of a layer's sums
};

// The file beside `output` that keeps an unfinished calibration.
std::filesystem::path partialFileOf(const std::filesystem::path& output);

// A safetensors file: layers.<i>.sums (F64), the rest in the metadata. Written whole or not at all.
void savePartialCalibration(const PartialCalibration& partial, const std::filesystem::path& file);
PartialCalibration loadPartialCalibration(const std::filesystem::path& file);
// Throws naming the file and what differs when `partial` is of another run.
void checkSameRun(const PartialCalibration& partial, const RunIdentity& identity,
                  const std::filesystem::path& file);

}  // namespace eigenscope
