// SPDX-License-Identifier: Apache-2.0
// The eigen-decomposition that can be stopped, against Eigen's own solver and the definition.
#include "kernels/cpu/symmetric_eigen.h"

#include <Eigen/Eigenvalues>

#include <QTest>

#include <algorithm>
#include <limits>
#include <random>

using namespace eigenscope::cpu;

namespace {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

bool never() { return false; }

// Symmetric, elements of normal size.
Matrix randomMatrix(Eigen::Index n, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Matrix a(n, n);
    for (Eigen::Index i = 0; i < n * n; ++i)
        a.data()[i] = static_cast<double>(random() % 2000001) / 1e6 - 1.0;
    return a + a.transpose();
}

Matrix lowRank(Eigen::Index n, Eigen::Index rank) {
    const Matrix part = randomMatrix(n, 3).leftCols(rank);
    return part * part.transpose();
}

Vector sorted(Vector values) {
    std::sort(values.begin(), values.end());
    return values;
}

}  // namespace

class TestSymmetricEigen : public QObject {
    Q_OBJECT
private slots:
    void decomposes_data();
    void decomposes();
    void stopsAnywhere();
};

void TestSymmetricEigen::decomposes_data() {
    QTest::addColumn<Matrix>("matrix");
    for (int n : {1, 2, 3, 4, 17, 64, 150})
        QTest::addRow("random, %d", n) << randomMatrix(n, static_cast<std::uint64_t>(n));
    QTest::newRow("zero") << Matrix(Matrix::Zero(9, 9));
    QTest::newRow("identity") << Matrix(Matrix::Identity(9, 9));
    QTest::newRow("diagonal") << Matrix(Vector::LinSpaced(12, -3.0, 8.0).asDiagonal());
    QTest::newRow("ones") << Matrix(Matrix::Ones(20, 20));
    QTest::newRow("rank 5 of 60") << lowRank(60, 5);
    QTest::newRow("very large") << Matrix(randomMatrix(30, 1) * 1e300);
    QTest::newRow("very small") << Matrix(randomMatrix(30, 2) * 1e-300);
    Matrix graded = randomMatrix(40, 4);
    const Vector grades =
        Vector::LinSpaced(40, 0.0, -12.0).unaryExpr([](double x) { return std::pow(10.0, x); });
    graded = grades.asDiagonal() * graded * grades.asDiagonal();
    QTest::newRow("graded") << graded;
}

void TestSymmetricEigen::decomposes() {
    QFETCH(Matrix, matrix);
    const Eigen::Index n = matrix.rows();
    Matrix work = matrix, vectors;
    Vector values, alone;
    QCOMPARE(symmetricEigen(work, values, &vectors, never), EigenOutcome::Done);
    work = matrix;
    QCOMPARE(symmetricEigen(work, alone, nullptr, never), EigenOutcome::Done);
    // Backward stable: a small multiple of n epsilon of the largest element.
    const double scale = std::max(matrix.cwiseAbs().maxCoeff(), std::numeric_limits<double>::min());
    const double tolerance = 20.0 * static_cast<double>(n) * std::numeric_limits<double>::epsilon();
    QVERIFY((vectors.transpose() * vectors - Matrix::Identity(n, n)).cwiseAbs().maxCoeff() < tolerance);
    const Matrix residual = (matrix / scale) * vectors - vectors * (values / scale).asDiagonal();
    QVERIFY(residual.cwiseAbs().maxCoeff() < tolerance);
    const Eigen::SelfAdjointEigenSolver<Matrix> solver(Matrix(matrix / scale));
    QVERIFY((sorted(values) / scale - solver.eigenvalues()).cwiseAbs().maxCoeff() < tolerance);
    QVERIFY((sorted(alone) / scale - solver.eigenvalues()).cwiseAbs().maxCoeff() < tolerance);
}

void TestSymmetricEigen::stopsAnywhere() {
    constexpr Eigen::Index kOrder = 40;
    const Matrix matrix = randomMatrix(kOrder, 7);
    Vector values;
    Matrix vectors, work = matrix;
    int asked = 0;
    QCOMPARE(symmetricEigen(work, values, &vectors,
                            [&asked] {
                                ++asked;
                                return false;
                            }),
             EigenOutcome::Done);
    // Once for each reflection that is made and for each that is multiplied out, and for each QR step.
    QVERIFY2(asked > 3 * kOrder, qPrintable(QString::number(asked)));
    for (int at = 1; at <= asked; ++at) {
        work = matrix;
        int count = 0;
        QCOMPARE(symmetricEigen(work, values, &vectors, [&] { return ++count == at; }),
                 EigenOutcome::Stopped);
        QCOMPARE(count, at);
    }
}

QTEST_GUILESS_MAIN(TestSymmetricEigen)
#include "tst_symmetric_eigen.moc"
