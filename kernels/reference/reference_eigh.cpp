// SPDX-License-Identifier: Apache-2.0
// Cyclic Jacobi: rotate away one off-diagonal element after the other until none is left. Golub and Van Loan,
// Matrix Computations, section 8.5. Quadratically convergent in the end, unconditionally stable, and easy to
// see through.
#include "kernels/reference/reference_ops.h"

#include "kernels/api/error.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <vector>

namespace eigenscope::reference {

namespace {

constexpr int kMaxSweeps = 64;  // about ten suffice for any matrix of a few hundred rows

class Jacobi {
public:
    // The upper and lower triangles are averaged: the caller's matrix is symmetric up to rounding.
    Jacobi(const double* a, std::int64_t n) : m_n(n), m_a(n * n), m_v(n * n, 0.0) {
        for (std::int64_t i = 0; i < n; ++i) {
            for (std::int64_t j = 0; j < n; ++j)
                m_a[i * n + j] = 0.5 * (a[i * n + j] + a[j * n + i]);
            m_v[i * n + i] = 1.0;
        }
    }

    bool solve() {
        double norm = 0.0;
        for (double x : m_a)
            norm += x * x;
        for (int sweep = 0; sweep < kMaxSweeps; ++sweep) {
            double off = 0.0;
            for (std::int64_t i = 0; i < m_n; ++i)
                for (std::int64_t j = 0; j < i; ++j)
                    off += m_a[i * m_n + j] * m_a[i * m_n + j];
            if (off <= 1e-34 * norm)  // far below float64's rounding of the eigenvalues
                return true;
            for (std::int64_t p = 0; p < m_n; ++p)
                for (std::int64_t q = p + 1; q < m_n; ++q)
                    rotate(p, q);
        }
        return false;
    }

    double value(std::int64_t i) const { return m_a[i * m_n + i]; }
    double vector(std::int64_t row, std::int64_t column) const { return m_v[row * m_n + column]; }

private:
    void rotate(std::int64_t p, std::int64_t q) {
        const double apq = m_a[p * m_n + q];
        if (apq == 0.0)
            return;
        const double theta = (value(q) - value(p)) / (2.0 * apq);
        const double t = (theta >= 0.0 ? 1.0 : -1.0) / (std::abs(theta) + std::hypot(theta, 1.0));
        const double c = 1.0 / std::sqrt(t * t + 1.0), s = t * c;
        for (std::int64_t i = 0; i < m_n; ++i)  // columns of A, then rows of A, then columns of V
            turn(m_a[i * m_n + p], m_a[i * m_n + q], c, s);
        for (std::int64_t i = 0; i < m_n; ++i)
            turn(m_a[p * m_n + i], m_a[q * m_n + i], c, s);
        for (std::int64_t i = 0; i < m_n; ++i)
            turn(m_v[i * m_n + p], m_v[i * m_n + q], c, s);
        m_a[p * m_n + q] = m_a[q * m_n + p] = 0.0;
    }

    static void turn(double& x, double& y, double c, double s) {
        const double old = x;
        x = c * old - s * y;
        y = s * old + c * y;
    }

    std::int64_t m_n;
    std::vector<double> m_a, m_v;
};

}  // namespace

void eigh(const EighParams& p) {
    std::vector<std::int64_t> order(static_cast<std::size_t>(p.n));
    for (std::int64_t k = 0; k < p.count; ++k) {
        const double* a = p.a + k * p.n * p.n;
        for (std::int64_t i = 0; i < p.n * p.n; ++i)
            if (!std::isfinite(a[i]))
                throw Error(ErrorCode::InvalidInput,
                            "eigh: matrix " + std::to_string(k) + " has an element that is not finite");
        Jacobi jacobi(a, p.n);
        if (!jacobi.solve())
            throw Error(ErrorCode::InvalidInput, "eigh: matrix " + std::to_string(k) + " did not converge");
        std::iota(order.begin(), order.end(), std::int64_t{0});
        std::stable_sort(order.begin(), order.end(),
                         [&](std::int64_t i, std::int64_t j) { return jacobi.value(i) > jacobi.value(j); });
        for (std::int64_t j = 0; j < p.n; ++j) {
            p.values[k * p.n + j] = jacobi.value(order[j]);
            if (p.vectors)
                for (std::int64_t i = 0; i < p.n; ++i)
                    p.vectors[(k * p.n + i) * p.n + j] = jacobi.vector(i, order[j]);
        }
    }
}

}  // namespace eigenscope::reference
