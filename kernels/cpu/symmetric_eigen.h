// SPDX-License-Identifier: Apache-2.0
// Eigen-decomposition of one large symmetric matrix that can be stopped on the way: Householder reduction to
// a tridiagonal matrix, then implicit QR steps with Wilkinson's shift (G. Golub, C. Van Loan, "Matrix
// Computations", sections 8.3.1 to 8.3.3). A matrix of order 1,000 takes seconds, one of 4,000 minutes, which
// a library call would not let go of. Pure; any thread.
#pragma once

#include <cstdint>
#include <functional>

#include <Eigen/Core>

namespace eigenscope::cpu {

enum class EigenOutcome : std::uint8_t { Done, NotConverged, Stopped };

// `matrix` [n, n] is symmetric and finite; it is overwritten. `values` [n] come in no order, `vectors` [n, n]
// (null: not wanted) with them in its columns. `stopped` is asked after each n^2 or so of multiply-adds.
EigenOutcome symmetricEigen(Eigen::MatrixXd& matrix, Eigen::VectorXd& values, Eigen::MatrixXd* vectors,
                            const std::function<bool()>& stopped);

}  // namespace eigenscope::cpu
