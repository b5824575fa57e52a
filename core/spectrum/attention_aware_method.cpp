// SPDX-License-Identifier: Apache-2.0
#include "core/spectrum/attention_aware_method.h"

#include "kernels/api/error.h"

#include <Eigen/Core>

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

// Eigenvalues below this share of the largest count as this share: dead directions are normal, and their
// inverse square root must stay finite. Its square root, 1e-5, is well above float32's rounding of the rows.
constexpr double kFloor = 1e-10;
// Matrices without a larger eigenvalue count as zero (a dead head): quotients of what is left of them mean
// nothing.
constexpr double kNothing = 1e-200;

struct Decomposition {
    Vector values;   // descending, not negative
    Matrix vectors;  // columns
};

Decomposition decompose(Backend& backend, Stream& stream, const Matrix& matrix) {
    const auto n = matrix.rows();
    Decomposition result{Vector(n), Matrix(n, n)};
    const Matrix symmetric = 0.5 * (matrix + matrix.transpose());
    EighParams params;
    params.a = symmetric.data();
    params.values = result.values.data();
    params.vectors = result.vectors.data();
    params.count = 1;
    params.n = n;
    backend.eigh(stream, params);
    stream.synchronize();
    result.values = result.values.cwiseMax(0.0);
    return result;
}

// a b, a stretch of rows after the other, so that a stop is seen within products of matrices of thousands.
template <typename Left, typename Right>
Matrix product(const Stream& stream, const Left& a, const Right& b) {
    constexpr Eigen::Index kRows = 256;
    Matrix result(a.rows(), b.cols());
    for (Eigen::Index first = 0; first < a.rows(); first += kRows) {
        stream.checkStop();
        const Eigen::Index count = std::min(kRows, a.rows() - first);
        result.middleRows(first, count).noalias() = a.middleRows(first, count) * b;
    }
    return result;
}

struct Roots {
    Matrix root, inverse;  // matrix^(1/2), matrix^(-1/2) with the floor applied in both
    bool nothing = false;  // the matrix counts as zero; the roots are the identity's
};

Roots rootsOf(Backend& backend, Stream& stream, const Matrix& matrix) {
    const auto n = matrix.rows();
    const Decomposition d = decompose(backend, stream, matrix);
    if (d.values[0] < kNothing)
        return {Matrix::Identity(n, n), Matrix::Identity(n, n), true};
    const double floor = d.values[0] * kFloor;
    const Vector roots = d.values.cwiseMax(floor).cwiseSqrt();
    const Matrix scaled = d.vectors * roots.asDiagonal();
    const Matrix unscaled = d.vectors * roots.cwiseInverse().asDiagonal();
    return {product(stream, scaled, d.vectors.transpose()), product(stream, unscaled, d.vectors.transpose()),
            false};
}

// The factors for errors weighted by `weight` on vectors with second moments `moment` (both [width, width]).
HeadBasis balancedBasis(Backend& backend, Stream& stream, const Matrix& weight, const Matrix& moment) {
    const auto n = weight.rows();
    const Roots roots = rootsOf(backend, stream, moment);
    // Eigenvectors of M^(1/2) W M^(1/2) are Z, its eigenvalues Sigma^2.
    const Decomposition d =
        decompose(backend, stream, product(stream, product(stream, roots.root, weight), roots.root));
    Vector balance = Vector::Ones(n);  // Sigma^(1/2), times a number
    if (d.values[0] >= kNothing) {
        const Vector sigma = d.values.cwiseMax(d.values[0] * kFloor).cwiseSqrt();
        // The latents' second moments are Sigma. With a common factor their sum is the vectors' own, so that
        // 16-bit weights and caches hold numbers of the usual size.
        const double total = roots.root.squaredNorm();
        balance = (sigma * (total / sigma.sum())).cwiseSqrt();
    }
    const Matrix balanced = balance.asDiagonal() * d.vectors.transpose();
    const Matrix encode = product(stream, balanced, roots.inverse);
    const Matrix decode = product(stream, roots.root, d.vectors) * balance.cwiseInverse().asDiagonal();
    HeadBasis basis;
    basis.width = static_cast<int>(n);
    basis.eigenvalues.assign(static_cast<std::size_t>(n), 0.0);
    if (!roots.nothing)  // else there is no vector to make an error on
        std::copy(d.values.begin(), d.values.end(), basis.eigenvalues.begin());
    basis.encode.assign(encode.data(), encode.data() + n * n);
    basis.decode.assign(decode.data(), decode.data() + n * n);
    return basis;
}

Matrix matrixOf(std::span<const double> values, int width) {
    return Eigen::Map<const Matrix>(values.data(), width, width);
}

struct Centred {
    Matrix moment;  // mean of (x - mean) (x - mean)^T
    Vector mean;
};

// From sums over rows whose weights (or numbers) sum to `weight`.
Centred centred(std::span<const double> gram, std::span<const double> sum, double weight, int width) {
    if (!(weight > 0))
        return {Matrix::Zero(width, width), Vector::Zero(width)};
    const Vector mean = Eigen::Map<const Vector>(sum.data(), width) / weight;
    return {matrixOf(gram, width) / weight - mean * mean.transpose(), mean};
}

std::vector<double> numbers(const Vector& vector) { return {vector.begin(), vector.end()}; }

std::vector<HeadBasis> keyBases(Backend& backend, Stream& stream, const Statistics& statistics,
                                const LayerStatistics& moments, bool share) {
    const int heads = statistics.kv_heads, width = statistics.head_dim;
    std::vector<HeadBasis> bases;
    std::vector<Vector> means;
    Matrix shared_weight = Matrix::Zero(width, width), shared_moment = Matrix::Zero(width, width);
    double total = 0;
    for (int head = 0; head < heads; ++head) {
        const double sum = moments.logit_weights[static_cast<std::size_t>(head)];
        const Matrix weight = matrixOf(moments.logit_queries.gramOf(head), width);
        Centred keys = centred(moments.logit_keys.gramOf(head), moments.logit_keys.sumOf(head), sum, width);
        if (share) {
            shared_weight += weight;
            shared_moment += keys.moment * sum;
            total += sum;
        } else {
            bases.push_back(balancedBasis(backend, stream, weight, keys.moment));
        }
        means.push_back(std::move(keys.mean));
    }
    if (share) {
        if (total > 0)
            shared_moment /= total;
        bases.assign(static_cast<std::size_t>(heads),
                     balancedBasis(backend, stream, shared_weight, shared_moment));
    }
    // Without rotary positions a mean adds the same to all scores of a query, and softmax ignores it.
    for (std::size_t head = 0; statistics.rotary && head < bases.size(); ++head)
        bases[head].mean = numbers(means[head]);
    return bases;
}

// Blocks of several heads on the diagonal: a head's queries and its part of the output projection meet its
// own part of a latent's keys and values only.
Matrix blockDiagonal(std::span<const double> blocks, int width, int first, int count) {
    Matrix matrix = Matrix::Zero(count * width, count * width);
    const auto size = static_cast<std::size_t>(width) * static_cast<std::size_t>(width);
    for (int i = 0; i < count; ++i)
        matrix.block(i * width, i * width, width, width) =
            matrixOf(blocks.subspan(static_cast<std::size_t>(first + i) * size, size), width);
    return matrix;
}

// One latent for `head_group` heads. Its keys are weighted by what an error does to any of the heads, which
// their queries' weights tell apart only as far as the product of the two moments does. Heads attend
// differently, so no one Gram matrix of outputs serves them all: values are weighted alike, as attention that
// looks anywhere would.
LayerBases jointBases(Backend& backend, Stream& stream, const Statistics& statistics,
                      const LayerStatistics& moments, int head_group) {
    const int d = statistics.head_dim, width = d * head_group;
    LayerBases bases;
    for (int group = 0; group < statistics.kv_heads / head_group; ++group) {
        const int first = group * head_group;
        double weights = 0;
        for (int head = first; head < first + head_group; ++head)
            weights += moments.logit_weights[static_cast<std::size_t>(head)];
        const Centred keys = centred(moments.joint_logit_keys.gramOf(group),
                                     moments.joint_logit_keys.sumOf(group), weights, width);
        bases.keys.push_back(balancedBasis(
            backend, stream, blockDiagonal(moments.logit_queries.gram, d, first, head_group), keys.moment));
        if (statistics.rotary)
            bases.keys.back().mean = numbers(keys.mean);
        const auto rows = static_cast<double>(moments.joint_values.rows);
        const Centred values =
            centred(moments.joint_values.gramOf(group), moments.joint_values.sumOf(group), rows, width);
        bases.values.push_back(balancedBasis(
            backend, stream, blockDiagonal(moments.projection, d, first, head_group) * rows, values.moment));
        bases.values.back().mean = numbers(values.mean);
    }
    return bases;
}

}  // namespace

LayerBases computeAttentionAwareBases(const JobContext& job, Backend& backend, const Statistics& statistics,
                                      int layer, const BasisOptions& options) {
    const LayerStatistics& moments = statistics.layers.at(static_cast<std::size_t>(layer));
    if (!moments.hasAttentionMoments())
        throw Error(ErrorCode::InvalidInput,
                    "method attention-aware: these statistics hold no attention moments; calibrate "
                    "again, with --attention-queries above 0");
    const int heads = statistics.kv_heads, width = statistics.head_dim;
    const auto stream = backend.createStream(0);
    stream->stopWith(job.stopToken());
    if (options.head_group > 1)
        return jointBases(backend, *stream, statistics, moments, options.head_group);
    LayerBases bases;
    bases.keys = keyBases(backend, *stream, statistics, moments, options.share_key_basis);
    const auto matrix = static_cast<std::size_t>(width) * static_cast<std::size_t>(width);
    for (int head = 0; head < heads; ++head) {
        const auto rows = static_cast<double>(moments.outputs.rows);
        const Centred outputs =
            centred(moments.outputs.gramOf(head), moments.outputs.sumOf(head), rows, width);
        const Matrix weight = matrixOf(
            std::span(moments.projection).subspan(static_cast<std::size_t>(head) * matrix, matrix), width);
        bases.values.push_back(balancedBasis(backend, *stream, weight * rows, outputs.moment));
        bases.values.back().mean = numbers(outputs.mean);
    }
    return bases;
}

}  // namespace eigenscope
