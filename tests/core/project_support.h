// SPDX-License-Identifier: Apache-2.0
// A project with every field set, by hand and as the file that it must become.
#pragma once

#include "core/workbench/project.h"

#include <string>

namespace eigenscope::test {

// 2026-11-28T18:03:11Z: 20,785 days after 1970-01-01 (56 years of 365 days, 14 of them leap years, and 331
// days).
inline constexpr std::chrono::sys_seconds kMeasured{
    std::chrono::seconds(20785LL * 86400 + 18 * 3600 + 3 * 60 + 11)};

inline RankPlan projectPlan() {
    RankPlan plan;
    plan.method = "attention-aware";
    plan.criterion = Criterion::SingularValues;
    plan.share_key_basis = true;
    plan.head_group = 2;
    plan.allocation = Allocation::Sensitivity;
    plan.kv_target = 0.3;
    plan.rank_multiple = 4;
    plan.key_threshold = 0.95;
    plan.value_threshold = 0.1 + 0.2;  // needs all 17 digits
    plan.key_ranks = {8, 16};
    plan.value_ranks = {12, 4};
    plan.key_pinned = {false, true};
    plan.value_pinned = {false, false};
    plan.key_layer_thresholds = {std::nullopt, std::nullopt};
    plan.value_layer_thresholds = {0.5, std::nullopt};
    plan.kv_bits = {{4, 8}, {16, 2}, 64, KvGrouping::Channel, 8};
    plan.mixed_bits = true;
    return plan;
}

// As if it were opened from and saved to `folder`.
inline Project fullProject(const std::filesystem::path& folder) {
    Project project;
    project.model = folder.parent_path() / "models/tiny";
    project.comparison_model = "/srv/models/other";
    project.statistics = folder / "tour.stats.safetensors";
    project.converted = folder / "out/tiny-0.3";
    project.plan = projectPlan();
    project.selection = {1, 0, Side::Values};
    KeptMeasurement kept;
    kept.measured = kMeasured;
    kept.text = folder / "held out.txt";
    kept.windows = 8;
    kept.tokens = 4088;
    kept.repetitions = 5;
    kept.new_tokens = 64;
    kept.models[0] = {"tiny", "f16", 1.0, 4.5, 0.25, 3.5, 1.25, 65536, 1048576};
    kept.models[1] = {"tiny · 0.3×", "q4", 0.0859375, 4.75, std::nullopt, 4.0, 1.5, 5632, 1056768};
    kept.nats_lost = -0.0009765625;
    kept.nats_lost_error = 0.001;
    kept.kl_divergence = 1e-05;
    kept.kl_divergence_error = 1e-06;
    kept.top1_agreement = 0.9875;
    project.measurements = {kept};
    return project;
}

inline const std::string kFullProject = R"({
  "comparison_model": "/srv/models/other",
  "converted": "out/tiny-0.3",
  "format": "eigenscope.project",
  "measurements": [
    {
      "kl_divergence": 1e-05,
      "kl_divergence_standard_error": 1e-06,
      "measured": "2026-11-28T18:03:11Z",
      "models": [
        {
          "kv_cache_bytes": 65536,
          "kv_format": "f16",
          "kv_ratio": 1.0,
          "name": "tiny",
          "peak_memory_bytes": 1048576,
          "perplexity": 4.5,
          "perplexity_standard_error": 0.25,
          "tpot_ms": 1.25,
          "ttft_ms": 3.5
        },
        {
          "kv_cache_bytes": 5632,
          "kv_format": "q4",
          "kv_ratio": 0.0859375,
          "name": "tiny · 0.3×",
          "peak_memory_bytes": 1056768,
          "perplexity": 4.75,
          "tpot_ms": 1.5,
          "ttft_ms": 4.0
        }
      ],
      "nats_lost": -0.0009765625,
      "nats_lost_standard_error": 0.001,
      "new_tokens": 64,
      "repetitions": 5,
      "text": "held out.txt",
      "tokens": 4088,
      "top1_agreement": 0.9875,
      "windows": 8
    }
  ],
  "model": "../models/tiny",
  "plan": {
    "allocation": "sensitivity",
    "center": false,
    "criterion": "singular-values",
    "head_group": 2,
    "key_bits": [
      4,
      8
    ],
    "key_ranks": [
      8,
      16
    ],
    "kv_group": 64,
    "kv_keys": "channel",
    "kv_recent": 8,
    "kv_target": 0.3,
    "layer_thresholds": {
      "keys": [
        null,
        null
      ],
      "values": [
        0.5,
        null
      ]
    },
    "method": "attention-aware",
    "mixed_bits": true,
    "pinned": {
      "keys": [
        false,
        true
      ],
      "values": [
        false,
        false
      ]
    },
    "rank_multiple": 4,
    "share_key_basis": true,
    "thresholds": {
      "keys": 0.95,
      "values": 0.30000000000000004
    },
    "value_bits": [
      16,
      2
    ],
    "value_ranks": [
      12,
      4
    ],
    "version": 1
  },
  "selection": {
    "head": 0,
    "layer": 1,
    "side": "values"
  },
  "statistics": "tour.stats.safetensors",
  "version": 1
}
)";

}  // namespace eigenscope::test
