// SPDX-License-Identifier: Apache-2.0
#include "core/compression/spread.h"

#include <Eigen/Core>

#include <cmath>
#include <numbers>

namespace eigenscope {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Orthonormal: row k is cos(pi (j + 1/2) k / size), scaled to length 1 (Ahmed, Natarajan and Rao, 1974).
Matrix cosineTransform(int size) {
    Matrix transform(size, size);
    for (int k = 0; k < size; ++k) {
        const double length = std::sqrt((k == 0 ? 1.0 : 2.0) / size);
        for (int j = 0; j < size; ++j)
            transform(k, j) = length * std::cos(std::numbers::pi * (j + 0.5) * k / size);
    }
    return transform;
}

}  // namespace

void spreadLatents(HeadBasis& basis, int rank) {
    Eigen::Map<Matrix> encode(basis.encode.data(), basis.width, basis.width);
    Eigen::Map<Matrix> decode(basis.decode.data(), basis.width, basis.width);
    const Matrix transform = cosineTransform(rank);
    encode.topRows(rank) = Matrix(transform * encode.topRows(rank));
    decode.leftCols(rank) = Matrix(decode.leftCols(rank) * transform.transpose());
}

}  // namespace eigenscope
