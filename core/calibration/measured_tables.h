// SPDX-License-Identifier: Apache-2.0
// What was measured of compressing single layers, kept with the statistics so that plans can be made from it
// without the model. A table belongs to the bases it was measured with. Plain values.
#pragma once

#include "kernels/api/ops.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

// How bases are made from the statistics, besides the method.
struct BasisOptions {
    bool share_key_basis = false;  // one key basis for all heads of a layer (the published code for Llama)
    bool center = false;  // method eigen on what is left of keys and values without their mean; others always
                          // or never centre
    int head_group = 1;   // consecutive key/value heads that share one latent: 1, or Statistics::head_group
    bool operator==(const BasisOptions&) const = default;
};

// Ranks and bits to measure, and how codes are grouped there (core/model/kv_format.h).
struct QuantisedGrid {
    std::vector<int> bits;   // of 8, 4, 3, 2; descending
    std::vector<int> ranks;  // ascending, the last is the bases' width
    int group = 32;
    KvGrouping keys = KvGrouping::Token;
    int recent = 0;
    bool operator==(const QuantisedGrid&) const = default;
};

struct QuantisedSensitivity {
    QuantisedGrid grid;
    std::vector<double> kl;  // [layers, keys then values, bits, ranks]
    double at(std::size_t layer, std::size_t side, std::size_t bits, std::size_t rank) const {
        return kl[((layer * 2 + side) * grid.bits.size() + bits) * grid.ranks.size() + rank];
    }
    bool operator==(const QuantisedSensitivity&) const = default;
};

// What compressing one layer's keys or values alone costs (core/evaluation/sensitivity.h).
struct SensitivityTable {
    std::string method;
    BasisOptions options;
    std::string text, fingerprint;  // what it was measured on
    std::int64_t windows = 0, sequence_length = 0;
    std::vector<int> ranks;  // [ranks], ascending, the last is the bases' width
    std::vector<double> kl;  // [layers, keys then values, ranks], KL(original || that model), nats a token
    std::optional<QuantisedSensitivity> quantised;  // with that cache in codes of a few bits as well
    double at(std::size_t layer, std::size_t side, std::size_t rank) const {
        return kl[(layer * 2 + side) * ranks.size() + rank];
    }
    bool operator==(const SensitivityTable&) const = default;
};

// Relative errors of each decoder layer's output along the path of ranks that one threshold for keys and
// values takes (core/evaluation/error_table.h): what the paper's Algorithm 1 walks along, measured once.
struct LayerErrorTable {
    struct Point {
        int key_rank = 0, value_rank = 0;
        double error = 0;  // ||O - O'||_F / ||O||_F, both layers given the original's input
        bool operator==(const Point&) const = default;
    };
    std::string method, criterion;  // the criterion makes the path
    BasisOptions options;
    std::int64_t windows = 0, sequence_length = 0;  // of the probe windows it was measured on
    std::vector<std::vector<Point>> layers;         // [layers][points]: ranks do not fall, the last are the
                                                    // bases' width with error 0
    bool operator==(const LayerErrorTable&) const = default;
};

// All tables of one calibration: at most one of a kind for each way of making bases (and criterion).
struct MeasuredTables {
    std::vector<SensitivityTable> sensitivity;
    std::vector<LayerErrorTable> layer_errors;

    // The table of these bases, or null.
    const SensitivityTable* findSensitivity(std::string_view method, const BasisOptions& options) const;
    const LayerErrorTable* findLayerErrors(std::string_view method, const BasisOptions& options,
                                           std::string_view criterion) const;
    // In place of the one of the same bases.
    void set(SensitivityTable table);
    void set(LayerErrorTable table);
    bool operator==(const MeasuredTables&) const = default;
};

}  // namespace eigenscope
