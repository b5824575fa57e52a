// SPDX-License-Identifier: Apache-2.0
// The `eigen_attention` object of a converted checkpoint's config.json: how its attention is cached, and what
// it was made from, so that it can be made again. Plain values.
#pragma once

#include "core/base/json.h"
#include "core/model/kv_format.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace eigenscope {

struct CalibrationSummary {
    std::string text;         // file name of the calibration text
    std::string fingerprint;  // of its contents
    std::int64_t samples = 0, sequence_length = 0;
    std::uint64_t seed = 0;
    std::int64_t average_samples = 1;  // windows averaged position by position before they counted
    // Query positions of a window that method attention-aware looked at; not said by earlier versions.
    std::optional<std::int64_t> attention_queries{};
    bool operator==(const CalibrationSummary&) const = default;
};

// Output projections fitted anew after conversion (core/compression/refit.h).
struct RefitSummary {
    std::string text;                               // file name
    std::string fingerprint;                        // of its contents
    std::int64_t windows = 0, sequence_length = 0;  // from the start of the text
    double ridge = 0;
    bool operator==(const RefitSummary&) const = default;
};

struct LowRankDescription {
    static constexpr int kVersion = 1;
    std::string method = "eigen";
    std::string criterion = "energy";
    std::string source;              // name of the original checkpoint
    std::string source_fingerprint;  // Checkpoint::fingerprint(); not said by earlier versions
    CalibrationSummary calibration;
    int head_group = 1;            // consecutive key/value heads that share one latent
    std::vector<int> key_ranks;    // [layers], of each group of heads
    std::vector<int> value_ranks;  // [layers]
    KvBits kv_bits;                // what `--kv-format auto` uses; empty: the checkpoint's dtype
    double kv_ratio = 1.0;         // converted / original KV-cache bytes in f16, kvRatioOf()
    bool share_key_basis = false;
    bool center = false;                  // bases of keys and values without their means (method eigen)
    std::optional<RefitSummary> refit{};  // empty: not refitted, or converted by an earlier version
};

Json toJson(const LowRankDescription& description);
// `layers`, `kv_heads` and `head_dim` bound what is accepted.
LowRankDescription readLowRankDescription(const JsonView& json, int layers, int kv_heads, int head_dim);

}  // namespace eigenscope
