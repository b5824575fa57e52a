// SPDX-License-Identifier: Apache-2.0
// Symmetric eigen-decompositions through Eigen, one matrix a thread.
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/parallel.h"

#include <Eigen/Eigenvalues>
#include <atomic>
#include <cmath>
#include <string>

namespace eigenscope::cpu {
namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// Eigenvectors are unique up to their sign: the component of largest magnitude is made positive, so that
// results do not depend on the solver's path.
double signOf(const Eigen::VectorXd& v) {
    Eigen::Index at = 0;
    v.cwiseAbs().maxCoeff(&at);
    return v[at] < 0.0 ? -1.0 : 1.0;
}

// False when the solver did not converge, as with elements that are not finite.
bool decompose(const double* a, Eigen::Index n, double* values, double* vectors) {
    const Eigen::Map<const Matrix> input(a, n, n);
    if (!input.allFinite())
        return false;
    const Eigen::MatrixXd symmetric = 0.5 * (input + input.transpose());
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(
        symmetric, vectors ? Eigen::ComputeEigenvectors : Eigen::EigenvaluesOnly);
    if (solver.info() != Eigen::Success)
        return false;
    for (Eigen::Index j = 0; j < n; ++j)
        values[j] = solver.eigenvalues()[n - 1 - j];
    if (!vectors)
        return true;
    Eigen::Map<Matrix> out(vectors, n, n);
    for (Eigen::Index j = 0; j < n; ++j) {
        const Eigen::VectorXd v = solver.eigenvectors().col(n - 1 - j);
        out.col(j) = signOf(v) * v;
    }
    return true;
}

}  // namespace

void eigh(CpuStream& stream, const EighParams& p) {
    if (p.n == 0)
        return;
    std::atomic<std::int64_t> failed{-1};
    std::atomic<bool> no_memory{false};
    parallelTasks(stream.threads(), p.count, p.count * p.n * p.n * p.n > (1 << 15), [&](std::int64_t i, int) {
        try {
            const std::int64_t at = i * p.n * p.n;
            if (!decompose(p.a + at, p.n, p.values + i * p.n, p.vectors ? p.vectors + at : nullptr))
                failed = i;
        } catch (const std::bad_alloc&) {
            no_memory = true;
        }
    });
    if (no_memory)
        throw Error(ErrorCode::OutOfMemory, "eigh: no memory for a matrix of order " + std::to_string(p.n));
    if (failed >= 0)
        throw Error(ErrorCode::InvalidInput, "eigh: matrix " + std::to_string(failed) +
                                                 " has no eigenvalues; expected finite elements");
}

}  // namespace eigenscope::cpu
