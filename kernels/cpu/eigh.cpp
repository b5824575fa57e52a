// SPDX-License-Identifier: Apache-2.0
// Symmetric eigen-decompositions through Eigen, one matrix a thread.
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/symmetric_eigen.h"

#include <Eigen/Eigenvalues>
#include <algorithm>
#include <atomic>
#include <cmath>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

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

// Order from which a matrix is decomposed in steps between which a stop is seen; smaller ones take tenths of
// a second at most, and the library is a little faster.
constexpr Eigen::Index kInSteps = 513;

struct Decomposition {
    Eigen::VectorXd values;   // in any order
    Eigen::MatrixXd vectors;  // in columns; empty when they are not wanted
};

EigenOutcome solve(Eigen::MatrixXd& symmetric, bool vectors, const CpuStream& stream, Decomposition& result) {
    if (symmetric.rows() >= kInSteps)
        return symmetricEigen(symmetric, result.values, vectors ? &result.vectors : nullptr,
                              [&stream] { return stream.stopRequested(); });
    if (stream.stopRequested())
        return EigenOutcome::Stopped;
    const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(
        symmetric, vectors ? Eigen::ComputeEigenvectors : Eigen::EigenvaluesOnly);
    if (solver.info() != Eigen::Success)
        return EigenOutcome::NotConverged;
    result.values = solver.eigenvalues();
    if (vectors)
        result.vectors = solver.eigenvectors();
    return EigenOutcome::Done;
}

// Not converged, as with elements that are not finite.
EigenOutcome decompose(const CpuStream& stream, const double* a, Eigen::Index n, double* values,
                       double* vectors) {
    const Eigen::Map<const Matrix> input(a, n, n);
    if (!input.allFinite())
        return EigenOutcome::NotConverged;
    Eigen::MatrixXd symmetric = 0.5 * (input + input.transpose());
    Decomposition found;
    if (const EigenOutcome outcome = solve(symmetric, vectors != nullptr, stream, found);
        outcome != EigenOutcome::Done)
        return outcome;
    std::vector<Eigen::Index> order(static_cast<std::size_t>(n));
    std::iota(order.rbegin(), order.rend(), Eigen::Index{0});
    std::ranges::stable_sort(order, std::greater<>(), [&](Eigen::Index i) { return found.values[i]; });
    for (Eigen::Index j = 0; j < n; ++j)
        values[j] = found.values[order[static_cast<std::size_t>(j)]];
    if (!vectors)
        return EigenOutcome::Done;
    Eigen::Map<Matrix> out(vectors, n, n);
    for (Eigen::Index j = 0; j < n; ++j) {
        const Eigen::VectorXd v = found.vectors.col(order[static_cast<std::size_t>(j)]);
        out.col(j) = signOf(v) * v;
    }
    return EigenOutcome::Done;
}

}  // namespace

void eigh(CpuStream& stream, const EighParams& p) {
    if (p.n == 0)
        return;
    std::atomic<std::int64_t> failed{-1};
    std::atomic<bool> no_memory{false}, stopped{false};
    parallelTasks(stream.threads(), p.count, p.count * p.n * p.n * p.n > (1 << 15), [&](std::int64_t i, int) {
        try {
            const std::int64_t at = i * p.n * p.n;
            switch (
                decompose(stream, p.a + at, p.n, p.values + i * p.n, p.vectors ? p.vectors + at : nullptr)) {
                case EigenOutcome::Done:
                    break;
                case EigenOutcome::NotConverged:
                    failed = i;
                    break;
                case EigenOutcome::Stopped:
                    stopped = true;
                    break;
            }
        } catch (const std::bad_alloc&) {
            no_memory = true;
        }
    });
    if (stopped)
        throw Cancelled();
    if (no_memory)
        throw Error(ErrorCode::OutOfMemory, "eigh: no memory for a matrix of order " + std::to_string(p.n));
    if (failed >= 0)
        throw Error(ErrorCode::InvalidInput, "eigh: matrix " + std::to_string(failed) +
                                                 " has no eigenvalues; expected finite elements");
}

}  // namespace eigenscope::cpu
