// SPDX-License-Identifier: Apache-2.0
// Calibration of a streamed model: all windows through one layer, then through the next. Each layer's sums
// are those of the same rows in the same order as when windows go through all layers, so statistics are the
// same to the bit; only one layer's weights and sums are held.
#include "core/calibration/calibration_run.h"
#include "core/model/layer_sweep.h"

#include <utility>

namespace eigenscope {

namespace {

// Every vector of numbers of a layer's statistics, in a fixed order.
template <typename Layer, typename Visit>
void forEachVector(Layer& layer, const Visit& visit) {
    for (auto* moments :
         {&layer.keys, &layer.queries, &layer.values, &layer.outputs, &layer.logit_queries, &layer.logit_keys,
          &layer.joint_keys, &layer.joint_values, &layer.joint_logit_keys}) {
        visit(moments->gram);
        visit(moments->sum);
    }
    visit(layer.logit_weights);
    visit(layer.projection);
}

std::vector<double> flattened(const LayerStatistics& layer) {
    std::vector<double> all;
    forEachVector(
        layer, [&all](const std::vector<double>& part) { all.insert(all.end(), part.begin(), part.end()); });
    return all;
}

// A layer's statistics with zeros for numbers, to be filled.
LayerStatistics emptyLayer(const Statistics& description, bool attention) {
    const int heads = description.kv_heads, width = description.head_dim, group = description.head_group;
    const std::int64_t rows = description.tokens, query_rows = rows * (description.query_heads / heads);
    const auto moments = [](int count, int size, std::int64_t of) {
        Moments result(count, size);
        result.rows = of;
        return result;
    };
    LayerStatistics layer{moments(heads, width, rows), moments(heads, width, query_rows),
                          moments(heads, width, rows), moments(heads, width, query_rows)};
    if (group > 1) {
        layer.joint_keys = moments(heads / group, width * group, rows);
        layer.joint_values = layer.joint_keys;
    }
    if (!attention)
        return layer;
    layer.logit_queries = Moments(heads, width);
    layer.logit_queries.sum.clear();
    layer.logit_keys = Moments(heads, width);
    if (group > 1)
        layer.joint_logit_keys = Moments(heads / group, width * group);
    layer.logit_weights.resize(static_cast<std::size_t>(heads));
    layer.projection.resize(layer.keys.gram.size());
    return layer;
}

LayerStatistics unflattened(const std::vector<double>& all, LayerStatistics layer) {
    std::size_t at = 0;
    const auto fail = [] {
        throw Error(ErrorCode::InvalidInput,
                    "the unfinished calibration does not hold this model's layers and heads");
    };
    forEachVector(layer, [&](std::vector<double>& part) {
        if (part.size() > all.size() - at)
            fail();
        std::copy_n(all.begin() + static_cast<std::ptrdiff_t>(at), part.size(), part.begin());
        at += part.size();
    });
    if (at != all.size())
        fail();
    return layer;
}

class LayerwiseCalibration {
public:
    LayerwiseCalibration(JobContext& job, const OpenModel& model, const CalibrationPlan& plan,
                         const CalibrationKeeper& keeper)
        : m_job(job),
          m_plan(plan),
          m_keeper(keeper),
          m_layers(model.model->config.layers),
          m_stop(job, static_cast<bool>(keeper.keep)),
          m_sweep(model.backend, model.model,
                  {.threads = plan.options.run.threads,
                   .compute = resolveCompute(plan.options.run, model),
                   .max_rows = calibrationChunk(model, plan),
                   .stop = m_stop.inner().stopToken()},
                  resolveKvFormat(plan.options.run, model),
                  std::vector<std::span<const TokenId>>(plan.windows.begin(), plan.windows.end()),
                  plan.options.run.states),
          m_tools(m_stop.inner(), model, plan, m_sweep.session()),
          m_keeping(keeper) {}

    std::vector<LayerStatistics> run() {
        if (m_tools.attention) {
            for (const auto& window : m_plan.windows) {
                m_tools.attention->startWindow(static_cast<std::int64_t>(window.size()));
                m_positions.push_back(m_tools.attention->positions());
            }
        }
        start();
        while (m_layer < m_layers) {
            look();
            if (m_window < m_plan.windows.size())
                passWindow();
            else
                finishLayer();
        }
        m_job.progress("calibrating", steps(), steps());
        return std::move(m_finished);
    }

private:
    std::int64_t steps() const {
        return std::int64_t{m_layers} * static_cast<std::int64_t>(m_plan.windows.size());
    }

    void start() {
        const auto& from = m_keeper.start;
        if (!from) {
            m_job.progress("calibrating", 0, steps());
            m_sweep.embed();
            return;
        }
        if (from->stale())
            throw Error(ErrorCode::InvalidInput,
                        "the unfinished calibration cannot go on: its hidden states were changed since");
        if (from->layers.empty() || from->layers.size() > static_cast<std::size_t>(m_layers))
            throw Error(ErrorCode::InvalidInput,
                        "the unfinished calibration does not hold this model's layers and heads");
        m_sweep.setStates(from->states->states);
        const LayerStatistics shape = emptyLayer(m_plan.description, m_plan.options.attention_queries > 0);
        for (std::size_t i = 0; i + 1 < from->layers.size(); ++i)
            m_finished.push_back(unflattened(from->layers[i], shape));
        m_layer = static_cast<int>(from->layers.size()) - 1;
        m_window = std::min(static_cast<std::size_t>(from->windows), m_plan.windows.size());
        m_tools.observer.restore(m_layer, from->layers.back());
    }

    // Where a stop is followed: windows are in the layer's sums and their states behind the layer, or
    // neither.
    void look() {
        m_job.progress("calibrating",
                       std::int64_t{m_layer} * static_cast<std::int64_t>(m_plan.windows.size()) +
                           static_cast<std::int64_t>(m_window),
                       steps());
        if (m_job.cancelled()) {
            keep([this] { return m_tools.observer.sums(m_layer); });
            m_job.checkCancelled();
        }
    }

    void finishLayer() {
        m_finished.push_back(m_tools.observer.download(m_layer, m_plan.description.tokens));
        m_tools.observer.close(m_layer);
        m_before.clear();
        ++m_layer;
        m_window = 0;
    }

    void passWindow() {
        const auto begin = Clock::now();
        if (m_tools.attention)
            m_tools.attention->returnToWindow(m_positions[m_window]);
        try {
            m_sweep.pass(m_window, m_layer, &m_tools.observer,
                         [this](std::int64_t at, const TensorView&) { m_tools.observer.startChunk(at); });
            m_tools.observer.endWindow();
        } catch (const Cancelled&) {
            // The window was given up in the middle: what was before it can be kept.
            if (!m_before.empty())
                keep([this] { return m_before; });
            throw;
        }
        ++m_window;
        const double seconds = secondsSince(begin);
        m_stop.windowTook(seconds);
        // What a long window would spoil when it is given up.
        m_before.clear();
        if (m_keeper.keep && seconds >= kShortWindow && m_window < m_plan.windows.size())
            m_before = m_tools.observer.sums(m_layer);
        if (m_keeping.due())
            keep([this] { return m_tools.observer.sums(m_layer); });
    }

    // Nothing before the first window of a layer: what was kept at the end of the one before is the same.
    template <typename Sums>
    void keep(const Sums& sums) {
        // An average that is begun is in no sum.
        if (m_window == 0 || m_window % static_cast<std::size_t>(m_plan.options.average_samples) != 0)
            return;
        m_keeping.keep([&] {
            m_sweep.session().stream().synchronize();
            PartialCalibration partial{m_plan.description.identity, static_cast<std::int64_t>(m_window), {}};
            for (const LayerStatistics& layer : m_finished)
                partial.layers.push_back(flattened(layer));
            partial.layers.push_back(sums());
            partial.states = PartialStates{m_sweep.states(), m_sweep.states()->version()};
            return partial;
        });
    }

    JobContext& m_job;
    const CalibrationPlan& m_plan;
    const CalibrationKeeper& m_keeper;
    int m_layers;
    WindowStop m_stop;
    LayerSweep m_sweep;
    CalibrationTools m_tools;
    KeepingTime m_keeping;
    std::vector<std::vector<std::int32_t>> m_positions;  // [windows], of the attention moments' samples
    std::vector<LayerStatistics> m_finished;
    int m_layer = 0;
    std::size_t m_window = 0;      // the next one, in this layer
    std::vector<double> m_before;  // the layer's sums before it, where it may be given up
};

}  // namespace

std::vector<LayerStatistics> calibrateByLayers(JobContext& job, const OpenModel& model,
                                               const CalibrationPlan& plan, const CalibrationKeeper& keeper) {
    return LayerwiseCalibration(job, model, plan, keeper).run();
}

}  // namespace eigenscope
