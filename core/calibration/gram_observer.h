// SPDX-License-Identifier: Apache-2.0
// What calibration sums up while a model runs: for each layer the Gram matrices and sums of its keys,
// queries, values and outputs, in device memory. A layer takes memory from its first rows on until it is
// closed. One thread.
#pragma once

#include "core/calibration/attention_moments.h"
#include "core/calibration/sample_average.h"
#include "core/calibration/statistics.h"
#include "core/model/transformer.h"

#include <memory>
#include <span>
#include <vector>

namespace eigenscope {

class GramObserver : public LayerObserver {
public:
    // `attention` and `average` may be null.
    GramObserver(const JobContext& job, Backend& backend, Session& session, const ModelConfig& config,
                 int head_group, AttentionMoments* attention, SampleAverage* average);
    ~GramObserver() override;

    // The tokens that follow begin at this position of their window.
    void startChunk(std::int64_t position) { m_position = position; }
    void endWindow();
    void onAttention(int layer, const AttentionTrace& trace) override;

    // `tokens`: how many were counted.
    LayerStatistics download(int layer, std::int64_t tokens);
    void close(int layer);

    // A layer's sums as they are; what restore() puts back continues bit for bit.
    std::size_t sumCount();  // of one layer
    std::vector<double> sums(int layer);
    void restore(int layer, std::span<const double> sums);  // throws InvalidInput unless sumCount() numbers

private:
    class Layer;
    Layer& opened(int layer);
    void count(int layer, int kind, const TensorView& rows);

    const JobContext& m_job;
    Backend& m_backend;
    Session& m_session;
    const ModelConfig& m_config;
    int m_head_group;
    AttentionMoments* m_attention;
    SampleAverage* m_average;
    std::int64_t m_position = 0;
    std::vector<std::unique_ptr<Layer>> m_layers;  // null: not open
};

}  // namespace eigenscope
