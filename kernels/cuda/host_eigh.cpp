// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/host_eigh.h"

#include "kernels/api/error.h"

#include <Eigen/Eigenvalues>

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace eigenscope::cuda {

namespace {

constexpr std::int64_t kMostThreads = 16;
constexpr std::int64_t kWorthThread = 64 * 64 * 64;  // n^3: about a millisecond

void decompose(const EighParams& p, std::int64_t k) {
    using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
    const Eigen::Index n = p.n;
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

}  // namespace

void hostEigh(const EighParams& p) {
    if (p.n == 0)
        return;
    const std::int64_t work = p.count * p.n * p.n * p.n / kWorthThread;
    const std::int64_t threads = std::min(
        {p.count, work, kMostThreads, static_cast<std::int64_t>(std::thread::hardware_concurrency())});
    std::atomic<std::int64_t> next{0};
    std::mutex mutex;
    std::exception_ptr failure;
    const auto work_off = [&] {
        for (std::int64_t k = next++; k < p.count; k = next++) {
            try {
                decompose(p, k);
            } catch (...) {
                const std::lock_guard lock(mutex);
                failure = failure ? failure : std::current_exception();
                next = p.count;
            }
        }
    };
    {
        std::vector<std::jthread> team;
        for (std::int64_t i = 1; i < threads; ++i)
            team.emplace_back(work_off);
        work_off();
    }
    if (failure)
        std::rethrow_exception(failure);
}

}  // namespace eigenscope::cuda
