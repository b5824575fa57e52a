// SPDX-License-Identifier: Apache-2.0
// The project file, *.eigenscope: what is open, the plan, and results worth keeping, so that work goes on
// another day. resources/help/files.md describes every field. Plain values; any thread.
#pragma once

#include "core/spectrum/rank_plan.h"

#include <array>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace eigenscope {

// One of the two models of a comparison. Empty: unknown, or not a finite number.
struct MeasuredModel {
    std::string name;
    std::string kv_format;  // what its cache was held in, in words
    double kv_ratio = 1.0;  // bytes a token in its cache / of the first model's in f16
    std::optional<double> perplexity, perplexity_error;
    std::optional<double> ttft_ms, tpot_ms;  // medians of runs alone
    std::uint64_t kv_cache_bytes = 0, peak_memory_bytes = 0;
    bool operator==(const MeasuredModel&) const = default;
};

// A comparison that was measured. Errors are standard errors over windows; the second model is compared with
// the first.
struct KeptMeasurement {
    std::chrono::sys_seconds measured{};   // when
    std::filesystem::path text;            // file that the quality was measured on
    std::int64_t windows = 1, tokens = 1;  // of it; tokens that were predicted
    int repetitions = 1, new_tokens = 1;   // of the timed runs
    std::array<MeasuredModel, 2> models;
    std::optional<double> nats_lost, nats_lost_error;  // a token, second minus first
    std::optional<double> kl_divergence, kl_divergence_error;
    std::optional<double> top1_agreement, top1_agreement_error;
    bool operator==(const KeptMeasurement&) const = default;
};

// The layer, head and side that all views look at.
struct ProjectSelection {
    int layer = 0;
    int head = -1;  // -1: all heads
    Side side = Side::Keys;
    bool operator==(const ProjectSelection&) const = default;
};

// Paths are absolute; a model's may be a preset ("preset:NAME").
struct Project {
    static constexpr int kVersion = 1;
    static constexpr std::size_t kMostMeasurements = 256;
    std::filesystem::path model;  // directory
    std::optional<std::filesystem::path> comparison_model, statistics;
    std::optional<std::filesystem::path> converted;  // the directory a conversion was written to
    std::optional<RankPlan> plan;
    ProjectSelection selection;
    std::vector<KeptMeasurement> measurements;  // oldest first
    bool operator==(const Project&) const = default;
};

inline constexpr std::string_view kProjectSuffix = ".eigenscope";

// Written whole or not at all; what it refers to need not exist. More than kMostMeasurements: the newest.
void saveProject(const Project& project, const std::filesystem::path& file);
// Checks every field; what is referred to need not exist and is not looked at. Keys it does not know are left
// alone.
Project loadProject(const std::filesystem::path& file);

}  // namespace eigenscope
