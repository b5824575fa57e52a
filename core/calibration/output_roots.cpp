// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/output_roots.h"

#include "core/base/parallel.h"

#include <Eigen/Cholesky>
#include <Eigen/Core>

#include <algorithm>

namespace eigenscope {

namespace {

using RowMatrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using RowMatrixD = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// W_h^T W_h of every query head, [query_heads, head_dim, head_dim].
std::vector<double> headGrams(const JobContext& job, Backend& backend, Stream& stream, const Model& model,
                              int layer) {
    const ModelConfig& config = model.config;
    const std::int64_t width = std::int64_t{config.query_heads} * config.head_dim;
    std::vector<double> grams(static_cast<std::size_t>(width * config.head_dim), 0.0);
    const std::size_t bytes = grams.size() * sizeof(double);
    const auto sums = backend.allocate(bytes);
    backend.upload(stream, sums->data(), grams.data(), bytes);
    const LayerLease weights = model.layer(layer, job.stopToken());
    const Tensor& weight = weights->attention.output.weight;
    const auto rows = backend.allocate(static_cast<std::size_t>(kOutputRootRows * width) * sizeof(float));
    for (std::int64_t first = 0; first < weight.shape()[0]; first += kOutputRootRows) {
        job.checkCancelled();
        GramParams p;
        p.x = static_cast<const float*>(rows->data());
        p.rows = std::min(kOutputRootRows, weight.shape()[0] - first);
        p.heads = config.query_heads;
        p.width = config.head_dim;
        p.gram = static_cast<double*>(sums->data());
        const auto* from = static_cast<const std::byte*>(weight.data()) +
                           static_cast<std::size_t>(first * width) * sizeOf(weight.dtype());
        backend.convert(stream, {.x = from,
                                 .x_dtype = weight.dtype(),
                                 .y = rows->data(),
                                 .y_dtype = DType::F32,
                                 .count = p.rows * width});
        backend.gram(stream, p);
    }
    backend.download(stream, grams.data(), sums->data(), bytes);
    return grams;
}

// R with R R^T = gram, which is positive semi-definite: of its factorisation P^T L D L^T P (G. Golub, C. Van
// Loan, "Matrix Computations", section 4.2.8).
RowMatrix rootOf(const Eigen::Map<const RowMatrixD>& gram) {
    const Eigen::LDLT<Eigen::MatrixXd> factors(gram);
    Eigen::MatrixXd root = factors.matrixL();
    root = factors.transpositionsP().transpose() * root;
    return (root * factors.vectorD().cwiseMax(0.0).cwiseSqrt().asDiagonal()).cast<float>();
}

}  // namespace

OutputRoots outputRoots(const JobContext& job, Backend& backend, Stream& stream, const Model& model,
                        int layer, int threads) {
    const ModelConfig& config = model.config;
    const std::int64_t size = std::int64_t{config.head_dim} * config.head_dim;
    const std::vector<double> grams = headGrams(job, backend, stream, model, layer);
    OutputRoots result;
    result.gram.resize(static_cast<std::size_t>(config.kv_heads * size), 0.0);
    for (std::int64_t i = 0; i < config.query_heads * size; ++i)
        result.gram[static_cast<std::size_t>(i / size / config.group() * size + i % size)] +=
            grams[static_cast<std::size_t>(i)];
    result.roots.resize(grams.size());
    parallelFor(config.query_heads, threads, [&](std::int64_t head) {
        job.checkCancelled();
        Eigen::Map<RowMatrix>(result.roots.data() + head * size, config.head_dim, config.head_dim) =
            rootOf({grams.data() + head * size, config.head_dim, config.head_dim});
    });
    return result;
}

}  // namespace eigenscope
