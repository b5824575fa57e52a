// SPDX-License-Identifier: Apache-2.0
// Averages of rows over windows, position by position, before they are counted: the published code of Eigen
// Attention averages `avg_dim` samples so. One thread.
#pragma once

#include "core/model/transformer.h"

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

namespace eigenscope {

class SampleAverage {
public:
    static constexpr int kKinds = 4;  // keys, queries, values, outputs

    // Averages over `samples` windows of `length` tokens. The host holds one window's rows of every layer
    // that rows were added of.
    SampleAverage(Backend& backend, const ModelConfig& config, int samples, std::int64_t length);

    // Rows [count, heads, head_dim] of one layer and kind at positions `start` on.
    void add(Stream& stream, int layer, int kind, const TensorView& rows, std::int64_t start);
    // A window is complete; after the last of its group calls `sink(layer, kind, rows)` for each layer and
    // kind, with the averages on the device.
    void endWindow(Stream& stream, const std::function<void(int, int, const TensorView&)>& sink);
    void close(int layer);  // gives its rows' memory back

private:
    int heads(int kind) const;

    Backend& m_backend;
    const ModelConfig& m_config;
    int m_samples, m_windows = 0;
    std::int64_t m_length;
    // [layers], [length, heads, head_dim]; empty where nothing was added.
    std::vector<std::array<std::vector<float>, kKinds>> m_sums;
    std::vector<float> m_rows;
};

}  // namespace eigenscope
