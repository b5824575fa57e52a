// SPDX-License-Identifier: Apache-2.0
// The `eigen_attention` object of a converted checkpoint's config.json. Plain values.
#pragma once

#include "core/base/json.h"
#include "core/model/kv_format.h"

#include <cstdint>
#include <string>
#include <vector>

namespace eigenscope {

struct CalibrationSummary {
    std::string text;         // file name of the calibration text
    std::string fingerprint;  // of its contents
    std::int64_t samples = 0, sequence_length = 0;
    std::uint64_t seed = 0;
};

struct LowRankDescription {
    static constexpr int kVersion = 1;
    std::string method = "eigen";
    std::string criterion = "energy";
    std::string source;  // name of the original checkpoint
    CalibrationSummary calibration;
    std::vector<int> key_ranks;    // [layers], per key/value head
    std::vector<int> value_ranks;  // [layers]
    KvBits kv_bits;                // what `--kv-format auto` uses; empty: the checkpoint's dtype
    double kv_ratio = 1.0;         // converted / original KV-cache bytes in f16, kvRatioOf()
    bool share_key_basis = false;
};

Json toJson(const LowRankDescription& description);
// `layers` and `head_dim` bound what is accepted.
LowRankDescription readLowRankDescription(const JsonView& json, int layers, int head_dim);

}  // namespace eigenscope
