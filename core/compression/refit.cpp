// SPDX-License-Identifier: Apache-2.0
#include "core/compression/refit.h"

#include "core/compression/folding.h"
#include "core/compression/layer_runner.h"
#include "core/compression/refitted_outputs.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <algorithm>

namespace eigenscope {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;
using Rows = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;

// Rows added at a time, and columns of a product between two looks at a stop: a row has thousands of
// features.
constexpr std::int64_t kChunk = 128;
constexpr Eigen::Index kColumns = 512;

// The hidden state after attention and the heads' outputs of one layer.
struct AfterAttention : LayerObserver {
    explicit AfterAttention(LayerRunner& runner) : runner(runner) {}
    void onAttention(int, const AttentionTrace& trace) override {
        state = runner.hidden();
        outputs = runner.download(trace.outputs);
    }
    LayerRunner& runner;
    std::vector<float> state;    // [length, hidden]
    std::vector<float> outputs;  // [length, query_heads * value_width]
};

void check(const OpenModel& original, const OpenModel& converted,
           const std::vector<std::vector<TokenId>>& windows, const RefitOptions& options) {
    const auto fail = [](const std::string& message) {
        throw Error(ErrorCode::InvalidInput, "refit: " + message);
    };
    const ModelConfig &a = original.model->config, &b = converted.model->config;
    if (a.low_rank || !b.low_rank || a.layers != b.layers || a.hidden_size != b.hidden_size ||
        original.backend != converted.backend)
        fail(converted.name + " is not a conversion of " + original.name + " on the same device");
    if (!(options.ridge > 0))
        fail("expected a ridge above 0");
    if (windows.empty())
        fail("no windows to fit on");
    for (const auto& window : windows) {
        if (window.empty() || window.size() != windows.front().size() ||
            window.size() > static_cast<std::size_t>(a.max_positions))
            fail("a window of " + std::to_string(window.size()) +
                 " tokens, expected windows of one length, 1 to " + std::to_string(a.max_positions));
    }
}

// Factor L with L L^T = matrix, positive definite, into its lower triangle, a block of columns after the
// other (G. Golub, C. Van Loan, "Matrix Computations", section 4.2.9): thousands of columns take a minute.
void choleskyInPlace(const JobContext& job, Matrix& matrix) {
    constexpr Eigen::Index kBlock = 128;
    const Eigen::Index n = matrix.rows();
    for (Eigen::Index at = 0; at < n; at += kBlock) {
        const Eigen::Index count = std::min(kBlock, n - at), below = at + count;
        auto diagonal = matrix.block(at, at, count, count);
        const Eigen::LLT<Matrix> factor(diagonal);
        diagonal = factor.matrixL();
        auto panel = matrix.block(below, at, n - below, count);
        diagonal.triangularView<Eigen::Lower>().transpose().solveInPlace<Eigen::OnTheRight>(panel);
        for (Eigen::Index column = below; column < n; column += kColumns) {
            job.checkCancelled();
            const Eigen::Index columns = std::min(kColumns, n - column);
            matrix.block(column, column, n - column, columns).noalias() -=
                panel.bottomRows(n - column) * panel.middleRows(column - below, columns).transpose();
        }
    }
}

// x L L^T = b, some rows after the other.
void solveRows(const JobContext& job, const Matrix& factor, const Matrix& b, Eigen::Map<Matrix>& x) {
    constexpr Eigen::Index kRows = 32;
    const auto lower = factor.triangularView<Eigen::Lower>();
    x = b;
    for (Eigen::Index first = 0; first < x.rows(); first += kRows) {
        job.checkCancelled();
        auto rows = x.middleRows(first, std::min(kRows, x.rows() - first));
        lower.transpose().solveInPlace<Eigen::OnTheRight>(rows);
        lower.solveInPlace<Eigen::OnTheRight>(rows);
    }
}

}  // namespace

RefitSums::RefitSums(int features_, int outputs_) : features(features_), outputs(outputs_) {
    const auto f = static_cast<std::size_t>(features), o = static_cast<std::size_t>(outputs);
    gram.assign(f * f, 0.0);
    cross.assign(o * f, 0.0);
    feature_sum.assign(f, 0.0);
    residual_sum.assign(o, 0.0);
}

void RefitSums::add(const JobContext& job, const float* f, const float* r, std::int64_t count) {
    const Matrix x = Rows(f, count, features).cast<double>(), y = Rows(r, count, outputs).cast<double>();
    Eigen::Map<Matrix> xx(gram.data(), features, features), yx(cross.data(), outputs, features);
    for (Eigen::Index first = 0; first < features; first += kColumns) {
        job.checkCancelled();
        const Eigen::Index columns = std::min<Eigen::Index>(kColumns, features - first);
        xx.middleCols(first, columns).noalias() += x.transpose() * x.middleCols(first, columns);
        yx.middleCols(first, columns).noalias() += y.transpose() * x.middleCols(first, columns);
    }
    Eigen::Map<Vector>(feature_sum.data(), features) += x.colwise().sum().transpose();
    Eigen::Map<Vector>(residual_sum.data(), outputs) += y.colwise().sum().transpose();
    rows += static_cast<double>(count);
}

RefitChange solveRefit(const JobContext& job, const RefitSums& sums, double ridge) {
    const auto features = sums.features, outputs = sums.outputs;
    RefitChange change;
    change.weight.assign(sums.cross.size(), 0.0);
    change.bias.assign(sums.residual_sum.size(), 0.0);
    if (!(sums.rows > 0))
        return change;
    const Vector f = Eigen::Map<const Vector>(sums.feature_sum.data(), features) / sums.rows;
    const Vector r = Eigen::Map<const Vector>(sums.residual_sum.data(), outputs) / sums.rows;
    Matrix gram =
        Eigen::Map<const Matrix>(sums.gram.data(), features, features) - sums.rows * f * f.transpose();
    const Matrix cross =
        Eigen::Map<const Matrix>(sums.cross.data(), outputs, features) - sums.rows * r * f.transpose();
    const double lambda = ridge * gram.trace() / features;
    Eigen::Map<Matrix> weight(change.weight.data(), outputs, features);
    if (lambda > 0) {
        gram.diagonal().array() += lambda;
        choleskyInPlace(job, gram);
        solveRows(job, gram, cross, weight);
    }
    Eigen::Map<Vector>(change.bias.data(), outputs) = r - weight * f;
    return change;
}

OpenModel refitOutputs(JobContext& job, const OpenModel& original, const OpenModel& converted,
                       const std::vector<std::vector<TokenId>>& windows, const RefitOptions& options) {
    check(original, converted, windows, options);
    const ModelConfig& config = converted.model->config;
    const auto length = static_cast<std::int64_t>(windows.front().size());
    auto model = std::make_shared<Model>(*converted.model);
    OpenModel refitted = converted;
    refitted.model = model;
    RefittedOutputs outputs(converted, *model, options.run.states);
    LayerRunner runner(job, original, options.run, length);
    Folder folder(*original.backend, job);
    constexpr std::string_view kStage = "refitting";
    job.progress(kStage, 0, config.layers);
    // Hidden states of the original and of the refitted model.
    const std::vector<std::size_t> sizes(
        windows.size(), windows.front().size() * static_cast<std::size_t>(config.hidden_size));
    HiddenStates expected(sizes, options.run.states), found(sizes, options.run.states);
    std::vector<float> state(sizes.front());
    for (std::size_t i = 0; i < windows.size(); ++i) {
        job.checkCancelled();
        expected.write(i, runner.firstInput(windows[i]));
        expected.read(i, state);
        found.write(i, state);
    }
    for (int layer = 0; layer < config.layers; ++layer) {
        job.progress(kStage, layer, config.layers);
        RefitSums sums(config.query_heads * config.valueWidth(layer), config.hidden_size);
        for (std::size_t i = 0; i < windows.size(); ++i) {
            job.checkCancelled();
            AfterAttention original_state(runner), converted_state(runner);
            expected.read(i, state);
            runner.setHidden(state);
            runner.run(layer, &original_state);
            expected.write(i, runner.hidden());
            found.read(i, state);
            runner.setHidden(state);
            runner.run(refitted, layer, &converted_state);
            std::vector<float>& residual = original_state.state;
            for (std::size_t k = 0; k < residual.size(); ++k)
                residual[k] -= converted_state.state[k];
            for (std::int64_t row = 0; row < length; row += kChunk) {
                job.checkCancelled();
                sums.add(job, converted_state.outputs.data() + row * sums.features,
                         residual.data() + row * sums.outputs, std::min(kChunk, length - row));
            }
        }
        const RefitChange change = solveRefit(job, sums, options.ridge);
        {
            const LayerLease lease = model->layer(layer, job.stopToken());
            outputs.set(layer, folder.added(lease->attention.output, change.weight, change.bias));
        }
        for (std::size_t i = 0; i < windows.size(); ++i) {
            job.checkCancelled();
            found.read(i, state);
            runner.setHidden(state);
            runner.run(refitted, layer);
            found.write(i, runner.hidden());
        }
    }
    job.progress(kStage, config.layers, config.layers);
    model->config.low_rank->refit = RefitSummary{
        options.text, options.fingerprint, static_cast<std::int64_t>(windows.size()), length, options.ridge};
    return refitted;
}

}  // namespace eigenscope
