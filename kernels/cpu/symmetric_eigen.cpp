// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/symmetric_eigen.h"

#include <Eigen/Householder>
#include <Eigen/Jacobi>

#include <cmath>
#include <limits>

namespace eigenscope::cpu {
namespace {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;
using Index = Eigen::Index;
using Stopped = std::function<bool()>;

// Reflections that make the matrix tridiagonal. Column i keeps below its subdiagonal the part of its
// reflection's vector that is not 1; `factors` [n - 1] are the reflections' coefficients. False: stopped.
bool tridiagonalise(Matrix& matrix, Vector& factors, Vector& subdiagonal, const Stopped& stopped) {
    const Index n = matrix.rows();
    for (Index i = 0; i + 1 < n; ++i) {
        if (stopped())
            return false;
        const Index left = n - i - 1;
        auto column = matrix.col(i).tail(left);
        double factor = 0, beta = 0;
        column.makeHouseholderInPlace(factor, beta);
        column[0] = 1.0;
        auto rest = matrix.bottomRightCorner(left, left);
        Vector product = rest.selfadjointView<Eigen::Lower>() * (factor * column);
        product -= (0.5 * factor * product.dot(column)) * column;
        rest.selfadjointView<Eigen::Lower>().rankUpdate(column, product, -1.0);
        factors[i] = factor;
        subdiagonal[i] = beta;
    }
    return true;
}

// The product of the reflections. False: stopped.
bool accumulate(const Matrix& matrix, const Vector& factors, Matrix& vectors, const Stopped& stopped) {
    const Index n = matrix.rows();
    vectors.setIdentity(n, n);
    Vector workspace(n);
    for (Index i = n - 2; i >= 0; --i) {
        if (stopped())
            return false;
        const Index left = n - i - 1;
        vectors.bottomRightCorner(left, left)
            .applyHouseholderOnTheLeft(matrix.col(i).tail(left - 1), factors[i], workspace.data());
    }
    return true;
}

// One implicit QR step on rows [begin, end] of the tridiagonal matrix, which are not split.
void step(Vector& diagonal, Vector& subdiagonal, Index begin, Index end, Matrix* vectors) {
    // The eigenvalue of the last two rows' block that is closer to the last element.
    const double half = 0.5 * (diagonal[end - 1] - diagonal[end]), off = subdiagonal[end - 1];
    const double root = std::hypot(half, off);
    const double shift = diagonal[end] - off * (off / (half + (half < 0 ? -root : root)));
    double x = diagonal[begin] - shift, z = subdiagonal[begin];
    for (Index k = begin; k < end && z != 0.0; ++k) {
        Eigen::JacobiRotation<double> rotation;
        rotation.makeGivens(x, z);
        const double c = rotation.c(), s = rotation.s();
        // The rotation from both sides of rows and columns k and k + 1.
        const double a = diagonal[k], b = subdiagonal[k], d = diagonal[k + 1];
        diagonal[k] = c * (c * a - s * b) - s * (c * b - s * d);
        diagonal[k + 1] = s * (s * a + c * b) + c * (s * b + c * d);
        subdiagonal[k] = s * (c * a - s * b) + c * (c * b - s * d);
        if (k > begin)
            subdiagonal[k - 1] = c * x - s * z;
        if (k + 1 < end) {
            x = subdiagonal[k];
            z = -s * subdiagonal[k + 1];
            subdiagonal[k + 1] *= c;
        }
        if (vectors)
            vectors->applyOnTheRight(k, k + 1, rotation);
    }
}

EigenOutcome iterate(Vector& diagonal, Vector& subdiagonal, Matrix* vectors, const Stopped& stopped) {
    const Index n = diagonal.size();
    constexpr double kEpsilon = std::numeric_limits<double>::epsilon();
    const auto negligible = [&](Index i) {
        return std::abs(subdiagonal[i]) <= kEpsilon * (std::abs(diagonal[i]) + std::abs(diagonal[i + 1])) ||
               std::abs(subdiagonal[i]) < std::numeric_limits<double>::min();
    };
    constexpr Index kStepsPerValue = 30;  // two or three are usual
    Index steps = 0;
    for (Index end = n - 1; end > 0;) {
        if (stopped())
            return EigenOutcome::Stopped;
        if (negligible(end - 1)) {
            --end;
            continue;
        }
        if (++steps > kStepsPerValue * n)
            return EigenOutcome::NotConverged;
        Index begin = end - 1;
        while (begin > 0 && !negligible(begin - 1))
            --begin;
        step(diagonal, subdiagonal, begin, end, vectors);
    }
    return EigenOutcome::Done;
}

}  // namespace

EigenOutcome symmetricEigen(Matrix& matrix, Vector& values, Matrix* vectors, const Stopped& stopped) {
    const Index n = matrix.rows();
    // Squares of very large or small elements must stay within the type.
    const double scale = n > 0 ? matrix.cwiseAbs().maxCoeff() : 0.0;
    if (scale == 0.0) {
        values.setZero(n);
        if (vectors)
            vectors->setIdentity(n, n);
        return EigenOutcome::Done;
    }
    matrix /= scale;
    Vector factors(n), subdiagonal(n);
    if (!tridiagonalise(matrix, factors, subdiagonal, stopped))
        return EigenOutcome::Stopped;
    values = matrix.diagonal();
    if (vectors && !accumulate(matrix, factors, *vectors, stopped))
        return EigenOutcome::Stopped;
    const EigenOutcome outcome = iterate(values, subdiagonal, vectors, stopped);
    values *= scale;
    return outcome;
}

}  // namespace eigenscope::cpu
