// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/fidelity.h"

#include "core/evaluation/attention_rows.h"
#include "core/evaluation/state_run.h"
#include "kernels/api/error.h"

#include <algorithm>
#include <optional>

namespace eigenscope {

namespace {

// Sums of squares of one quantity, window by window.
struct WindowSums {
    std::vector<double> difference, norm;
    MeanAndError error() const { return relativeErrorOfWindows(difference, norm); }
    void add(double d, double n) {
        difference.push_back(d);
        norm.push_back(n);
    }
    void add(const std::vector<float>& expected, const std::vector<float>& found) {
        double d = 0, n = 0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            const double e = expected[i], f = e - static_cast<double>(found[i]);
            d += f * f;
            n += e * e;
        }
        add(d, n);
    }
};

struct HeadSums {
    WindowSums scores, outputs;
    std::vector<double> weight_distance;
};

struct LayerSums {
    WindowSums output, propagated;
    std::vector<HeadSums> heads;
};

// Watches the original run over one window; at each layer runs the second's layer on the same input and on
// what the second's own layers made of the window so far.
class PairObserver : public LayerObserver {
public:
    PairObserver(const JobContext& job, StateRun& first, StateRun& second, std::vector<LayerSums>& sums)
        : m_job(job),
          m_first(first),
          m_second(second),
          m_alone_cache(second.createCache()),
          m_first_reader(first.backend(), first.stream(), first.model()),
          m_second_reader(second.backend(), second.stream(), second.model()),
          m_sums(sums) {}

    void onLayerInput(int, const TensorView& hidden) override { m_input = m_first.download(hidden); }

    void onAttention(int layer, const AttentionTrace& trace) override {
        m_expected = m_first_reader.read(layer, trace, m_first.cache());
    }

    void onLayerOutput(int layer, const TensorView& hidden) override {
        LayerSums& sums = m_sums[static_cast<std::size_t>(layer)];
        const std::vector<float> expected = m_first.download(hidden);
        m_second.download(m_second.state(), m_own);
        m_second.upload(m_input);
        Reader reader(*this);
        m_second.runLayer(layer, m_alone_cache, &reader);
        sums.output.add(expected, m_second.download(m_second.state()));
        const auto heads = compareHeads(m_job, *m_expected, reader.rows, m_second.threads());
        sums.heads.resize(heads.size());
        for (std::size_t h = 0; h < heads.size(); ++h) {
            sums.heads[h].scores.add(heads[h].score_difference, heads[h].score_norm);
            sums.heads[h].outputs.add(heads[h].output_difference, heads[h].output_norm);
            sums.heads[h].weight_distance.push_back(heads[h].weight_distance);
        }
        m_second.upload(m_own);
        m_second.runLayer(layer, m_second.cache());
        sums.propagated.add(expected, m_second.download(m_second.state()));
    }

private:
    struct Reader : LayerObserver {
        explicit Reader(PairObserver& owner) : owner(owner) {}
        void onAttention(int layer, const AttentionTrace& trace) override {
            rows = owner.m_second_reader.read(layer, trace, owner.m_alone_cache);
        }
        PairObserver& owner;
        AttentionRows rows;
    };

    const JobContext& m_job;
    StateRun &m_first, &m_second;
    KvCache m_alone_cache;
    AttentionReader m_first_reader, m_second_reader;
    std::vector<float> m_input, m_own;  // [tokens, hidden]
    std::optional<AttentionRows> m_expected;
    std::vector<LayerSums>& m_sums;
};

void checkPair(const OpenModel& first, const OpenModel& second) {
    checkSameVocabulary(first, second);
    if (!sameDimensions(first, second))
        throw Error(ErrorCode::InvalidInput,
                    "layers cannot be compared: " + second.name + " is not a conversion of " + first.name +
                        " (expected the same layers, heads and hidden size on the same device)");
}

constexpr std::string_view kStage = "measuring fidelity";

struct MeasuredWindows {
    const std::vector<std::vector<TokenId>>& windows;
    std::size_t predicted, chunk;
    std::span<const TokenId> inputs(std::size_t window) const {
        return std::span(windows[window]).first(predicted);
    }
};

// Both runs' states are behind the last layer.
void meterWindow(const JobContext& job, StateRun& a, StateRun& b, const MeasuredWindows& measured,
                 std::size_t window, ComparisonMeter& meter) {
    const std::span<const TokenId> ids(measured.windows[window]);
    for (std::size_t at = 0; at < measured.predicted; at += measured.chunk) {
        const std::size_t count = std::min(measured.chunk, measured.predicted - at);
        meter.add(job, a.logits(at, count), b.logits(at, count), ids.subspan(at + 1, count));
    }
    meter.endWindow();
}

void passByWindows(JobContext& job, StateRun& a, StateRun& b, LayerObserver& observer,
                   const MeasuredWindows& measured, ComparisonMeter& meter) {
    const auto total = static_cast<std::int64_t>(measured.windows.size());
    for (std::size_t window = 0; window < measured.windows.size(); ++window) {
        job.progress(kStage, static_cast<std::int64_t>(window), total);
        job.checkCancelled();
        b.start(measured.inputs(window));
        a.run(measured.inputs(window), &observer);
        meterWindow(job, a, b, measured, window, meter);
    }
    job.progress(kStage, total, total);
}

// The same sums in the same order, but all windows through one layer after the other: of streamed models each
// layer is read once.
void passByLayers(JobContext& job, StateRun& a, StateRun& b, LayerObserver& observer,
                  const MeasuredWindows& measured, const StateOptions& storage, ComparisonMeter& meter) {
    const std::size_t windows = measured.windows.size();
    const ModelConfig& config = a.model().config;
    const std::vector<std::size_t> sizes(windows,
                                         measured.predicted * static_cast<std::size_t>(config.hidden_size));
    HiddenStates first(sizes, storage), second(sizes, storage);
    std::vector<float> state(sizes.front());
    const auto load = [&state](const HiddenStates& states, std::size_t window, StateRun& run) {
        states.read(window, state);
        run.upload(state);
    };
    const auto total = static_cast<std::int64_t>(windows) * (config.layers + 1);
    job.progress(kStage, 0, total);
    for (std::size_t window = 0; window < windows; ++window) {
        job.checkCancelled();
        a.start(measured.inputs(window));
        first.write(window, a.download(a.state()));
        b.start(measured.inputs(window));
        second.write(window, b.download(b.state()));
    }
    std::int64_t done = 0;
    for (int layer = 0; layer < config.layers; ++layer) {
        for (std::size_t window = 0; window < windows; ++window) {
            job.progress(kStage, done++, total);
            job.checkCancelled();
            load(first, window, a);
            load(second, window, b);
            a.runLayer(layer, a.cache(), &observer);
            first.write(window, a.download(a.state()));
            second.write(window, b.download(b.state()));
        }
    }
    for (std::size_t window = 0; window < windows; ++window) {
        job.progress(kStage, done++, total);
        job.checkCancelled();
        load(first, window, a);
        load(second, window, b);
        meterWindow(job, a, b, measured, window, meter);
    }
    job.progress(kStage, total, total);
}

LayerFidelity fidelityOf(const LayerSums& sums) {
    LayerFidelity layer;
    layer.output_error = sums.output.error();
    layer.propagated_error = sums.propagated.error();
    for (const HeadSums& head : sums.heads)
        layer.heads.push_back(
            {head.scores.error(), meanOfWindows(head.weight_distance), head.outputs.error()});
    return layer;
}

}  // namespace

bool sameDimensions(const OpenModel& first, const OpenModel& second) {
    const ModelConfig &a = first.model->config, &b = second.model->config;
    return a.layers == b.layers && a.hidden_size == b.hidden_size && a.query_heads == b.query_heads &&
           first.backend == second.backend;
}

FidelityResult measureFidelity(JobContext& job, const OpenModel& first, const OpenModel& second,
                               const std::filesystem::path& text, const PerplexityOptions& options,
                               const RunOptions& second_run) {
    checkPair(first, second);
    return fidelityOfWindows(job, first, second, commonWindows(job, first, second, text, options), options,
                             second_run);
}

FidelityResult fidelityOfWindows(JobContext& job, const OpenModel& first, const OpenModel& second,
                                 const std::vector<std::vector<TokenId>>& windows,
                                 const PerplexityOptions& options, const RunOptions& second_run) {
    checkPair(first, second);
    const std::size_t predicted = windows.front().size() - 1;
    StateRun a(job, first, options.run, static_cast<std::int64_t>(predicted));
    StateRun b(job, second, second_run, static_cast<std::int64_t>(predicted));
    std::vector<LayerSums> sums(static_cast<std::size_t>(first.model->config.layers));
    PairObserver observer(job, a, b, sums);
    ComparisonMeter meter(options.run.threads);
    const MeasuredWindows measured{windows, predicted,
                                   static_cast<std::size_t>(pairRows(first, second, options, second_run))};
    if (first.model->streamed() || second.model->streamed())
        passByLayers(job, a, b, observer, measured, options.run.states, meter);
    else
        passByWindows(job, a, b, observer, measured, meter);
    FidelityResult result;
    result.quality = meter.result();
    for (const LayerSums& layer : sums)
        result.layers.push_back(fidelityOf(layer));
    return result;
}

}  // namespace eigenscope
