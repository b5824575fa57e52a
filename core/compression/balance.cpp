// SPDX-License-Identifier: Apache-2.0
#include "core/compression/balance.h"

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <vector>

namespace eigenscope {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

// Below this share of the largest, a latent's size or effect counts as this share: dead directions are
// normal. Far below the float32 rounding of the rows behind the moments.
constexpr double kFloor = 1e-5;

Eigen::Map<const Matrix> matrix(std::span<const double> values, int width) {
    return {values.data(), width, width};
}

Vector floored(const Vector& squares) {
    const Vector roots = squares.cwiseMax(0.0).cwiseSqrt();
    return roots.cwiseMax(roots.maxCoeff() * kFloor);
}

}  // namespace

void balance(HeadBasis& basis, std::span<const double> moment, std::span<const double> weight) {
    const int width = basis.width;
    Eigen::Map<Matrix> encode(basis.encode.data(), width, width), decode(basis.decode.data(), width, width);
    const Vector size = floored((encode * matrix(moment, width) * encode.transpose()).diagonal());
    const Vector effect = floored((decode.transpose() * matrix(weight, width) * decode).diagonal());
    if (!(size.maxCoeff() > 0.0) || !(effect.maxCoeff() > 0.0))
        return;  // a dead head
    const Vector squares = effect.cwiseQuotient(size);
    const double common = size.squaredNorm() / squares.cwiseProduct(size.cwiseProduct(size)).sum();
    const Vector scale = (squares * common).cwiseSqrt();
    encode = Matrix(scale.asDiagonal() * encode);
    decode = Matrix(decode * scale.cwiseInverse().asDiagonal());
}

void balanceKeys(std::span<HeadBasis> bases, const LayerStatistics& statistics) {
    // Queries as unrotated keys see them, where they were gathered.
    const Moments& queries = statistics.hasAttentionMoments() ? statistics.logit_queries : statistics.queries;
    for (std::size_t head = 0; head < bases.size(); ++head) {
        const int h = static_cast<int>(head);
        balance(bases[head], statistics.keys.gramOf(h), queries.gramOf(h));
    }
}

void balanceValues(std::span<HeadBasis> bases, const LayerStatistics& statistics) {
    for (std::size_t head = 0; head < bases.size(); ++head) {
        const auto width = static_cast<std::size_t>(bases[head].width);
        std::vector<double> weight(width * width, 0.0);
        if (statistics.projection.empty()) {
            for (std::size_t i = 0; i < width; ++i)
                weight[i * width + i] = 1.0;
        } else {
            const auto begin =
                statistics.projection.begin() + static_cast<std::ptrdiff_t>(head * width * width);
            std::copy(begin, begin + static_cast<std::ptrdiff_t>(width * width), weight.begin());
        }
        balance(bases[head], statistics.values.gramOf(static_cast<int>(head)), weight);
    }
}

}  // namespace eigenscope
