// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/host_eigh.h"

#include "kernels/api/error.h"

#include <Eigen/Eigenvalues>

#include <string>

namespace eigenscope::cuda {

void hostEigh(const EighParams& p) {
    using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const Eigen::Index n = p.n;
    if (n == 0)
        return;
    for (std::int64_t k = 0; k < p.count; ++k) {
        const Eigen::Map<const Matrix> a(p.a + k * n * n, n, n);
        if (!a.allFinite())
            throw Error(ErrorCode::InvalidInput,
                        "eigh: matrix " + std::to_string(k) + " has an element that is not finite");
        const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(
            0.5 * (a + a.transpose()), p.vectors ? Eigen::ComputeEigenvectors : Eigen::EigenvaluesOnly);
        if (solver.info() != Eigen::Success)
            throw Error(ErrorCode::InvalidInput, "eigh: matrix " + std::to_string(k) + " did not converge");
        // Eigen's order is ascending.
        Eigen::Map<Eigen::VectorXd>(p.values + k * n, n) = solver.eigenvalues().reverse();
        if (p.vectors)
            Eigen::Map<Matrix>(p.vectors + k * n * n, n, n) = solver.eigenvectors().rowwise().reverse();
    }
}

}  // namespace eigenscope::cuda
