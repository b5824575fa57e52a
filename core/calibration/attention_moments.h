// SPDX-License-Identifier: Apache-2.0
// Second moments of queries and keys weighted by what a logit error does to a head's output.
//
// A change e of the logit of query m and key n moves the output of query head h, to first order, by
// a_mn W_h (v_n - o_m) e, where a_mn is the attention weight, o_m the head's output and W_h its block of the
// output projection. So key errors dk_n cost sum over causal pairs of w_mn (q~_mn . dk_n)^2 with w_mn =
// a_mn^2 |W_h (v_n - o_m)|^2 and q~_mn = R(m - n) q_m, the query as the unrotated key sees it (q_m without
// rotary positions). Separated into S_q = sum w_mn q~ q~^T and S_k = sum w_mn k_n k_n^T, each summed over the
// query heads of a group. A sample of query positions bounds the cost.
//
// Sums and all that leads to them stay on the device: add() only queues ops. One thread; borrows the session,
// whose stream it uses.
#pragma once

#include "core/calibration/statistics.h"
#include "core/model/model.h"
#include "core/model/transformer.h"

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <vector>

namespace eigenscope {

class AttentionMoments {
public:
    // `queries`: positions sampled in each window. `head_group`: key/value heads whose keys are also summed
    // side by side.
    AttentionMoments(Backend& backend, const Model& model, Session& session, int queries, int head_group,
                     std::uint64_t seed);
    ~AttentionMoments();

    // Positions are drawn anew for each window, the same for every layer.
    void startWindow(std::int64_t length);
    // The positions of the window under way, and going back to those of a window that was started before.
    const std::vector<std::int32_t>& positions() const { return m_positions; }
    void returnToWindow(const std::vector<std::int32_t>& positions);
    // The trace must hold a whole window from its first token on, batch 1.
    void add(int layer, const AttentionTrace& trace, const JobContext& job);
    // Sets `logit_queries`, `logit_keys`, `joint_logit_keys`, `logit_weights` and `projection` of the layer's
    // statistics.
    void finish(int layer, LayerStatistics& statistics);
    // A layer takes memory, and its weights are looked at, from the first call that names it to this.
    void close(int layer);

    // A layer's sums as they are, to go on from later: what restoreSums() puts back continues bit for bit.
    std::vector<double> sums(int layer);
    std::size_t sumCount() const;  // of one layer
    void restoreSums(int layer, std::span<const double> sums);

    // Of `queries` positions, those that are weighed at a time: their weights are an array of [query heads,
    // positions, length] doubles of no more than 32 MiB, or one position's.
    static std::int64_t positionsAtATime(const ModelConfig& config, std::int64_t length,
                                         std::int64_t queries);

private:
    struct Layer;
    struct Window;
    Layer& opened(int layer, const JobContext& job);
    void prepareWindow(std::int64_t length);
    void weigh(int index, const Layer& layer, const AttentionTrace& trace, std::int64_t first,
               std::int64_t count);
    void sumQueries(int index, const Layer& layer, const AttentionTrace& trace, std::int64_t first,
                    std::int64_t count);
    void sumKeys(const Layer& layer, const AttentionTrace& trace);

    Backend& m_backend;
    const Model& m_model;
    Session& m_session;
    int m_queries, m_head_group;
    std::mt19937_64 m_random;
    std::vector<std::int32_t> m_positions;
    std::vector<std::unique_ptr<Layer>> m_layers;  // null: not open
    std::unique_ptr<Window> m_window;
};

}  // namespace eigenscope
