// SPDX-License-Identifier: Apache-2.0
#include "core/spectrum/eigen_method.h"

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

// An eigenvector's sign is arbitrary; the first of its largest elements is made positive, so that bases from
// different libraries agree. Elements within this share of the largest count as equal: rounding must not
// decide between them.
constexpr double kTie = 1e-6;

bool shouldFlip(const double* vectors, int width, int column) {
    double largest = 0;
    for (int i = 0; i < width; ++i)
        largest = std::max(largest, std::abs(vectors[i * width + column]));
    for (int i = 0; i < width; ++i) {
        const double element = vectors[i * width + column];
        if (std::abs(element) >= largest * (1 - kTie))
            return element < 0;
    }
    return false;
}

HeadBasis makeBasis(int width, const double* values, const double* vectors) {
    const auto n = static_cast<std::size_t>(width);
    HeadBasis basis;
    basis.width = width;
    basis.eigenvalues.assign(values, values + width);
    // A Gram matrix has no negative eigenvalues; rounding gives nearly singular ones tiny negative values.
    for (double& value : basis.eigenvalues)
        value = std::max(value, 0.0);
    basis.encode.resize(n * n);
    basis.decode.resize(n * n);
    for (int j = 0; j < width; ++j) {
        const double sign = shouldFlip(vectors, width, j) ? -1.0 : 1.0;
        for (int i = 0; i < width; ++i) {
            const double element = sign * vectors[i * width + j];
            basis.decode[static_cast<std::size_t>(i * width + j)] = element;
            basis.encode[static_cast<std::size_t>(j * width + i)] = element;
        }
    }
    return basis;
}

// Eigenvectors of `count` symmetric matrices [count, width, width].
std::vector<HeadBasis> decompose(Backend& backend, Stream& stream, const std::vector<double>& matrices,
                                 int count, int width) {
    const auto n = static_cast<std::size_t>(width);
    const auto matrix = n * n;
    std::vector<double> values(static_cast<std::size_t>(count) * n);
    std::vector<double> vectors(static_cast<std::size_t>(count) * matrix);
    EighParams params;
    params.a = matrices.data();
    params.values = values.data();
    params.vectors = vectors.data();
    params.count = count;
    params.n = width;
    backend.eigh(stream, params);
    stream.synchronize();
    std::vector<HeadBasis> bases;
    for (std::size_t h = 0; h < static_cast<std::size_t>(count); ++h)
        bases.push_back(makeBasis(width, values.data() + h * n, vectors.data() + h * matrix));
    return bases;
}

// C - n mu mu^T of each head: the Gram matrices of rows without their mean. Symmetric; cancellation can leave
// eigenvalues a little below zero, which makeBasis() takes for zero.
std::vector<double> centredGram(const Moments& moments) {
    std::vector<double> gram = moments.gram;
    const auto n = static_cast<std::size_t>(moments.width);
    const auto rows = static_cast<double>(moments.rows);
    for (std::size_t head = 0; head < static_cast<std::size_t>(moments.heads); ++head) {
        const double* sum = moments.sum.data() + head * n;
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = 0; j < n; ++j)
                gram[(head * n + i) * n + j] -= sum[i] * sum[j] / rows;
        }
    }
    return gram;
}

void setMeans(std::vector<HeadBasis>& bases, const Moments& moments) {
    for (std::size_t head = 0; head < bases.size(); ++head) {
        const auto sum = moments.sumOf(static_cast<int>(head));
        bases[head].mean.assign(sum.begin(), sum.end());
        for (double& element : bases[head].mean)
            element /= static_cast<double>(moments.rows);
    }
}

// Adds the queries' Gram matrices to those of keys, [.., width, width]: a head's queries meet its own keys
// only, so where heads lie side by side theirs are blocks on the diagonal.
void addQueries(const Moments& queries, int width, std::vector<double>& keys) {
    const int d = queries.width, side_by_side = width / d;
    for (int head = 0; head < queries.heads; ++head) {
        const double* gram = queries.gramOf(head).data();
        const int at = head % side_by_side * d;
        double* matrix = keys.data() + static_cast<std::ptrdiff_t>(head / side_by_side) * width * width;
        for (int i = 0; i < d; ++i) {
            for (int j = 0; j < d; ++j)
                matrix[(at + i) * width + at + j] += gram[i * d + j];
        }
    }
}

}  // namespace

LayerBases computeEigenBases(const JobContext& job, Backend& backend, const Statistics& statistics, int layer,
                             const BasisOptions& options) {
    const LayerStatistics& moments = statistics.layers.at(static_cast<std::size_t>(layer));
    const auto stream = backend.createStream(0);
    stream->stopWith(job.stopToken());
    const Moments& own_keys = options.head_group > 1 ? moments.joint_keys : moments.keys;
    const Moments& own_values = options.head_group > 1 ? moments.joint_values : moments.values;
    const int count = own_keys.heads, width = own_keys.width;
    std::vector<double> keys = options.center ? centredGram(own_keys) : own_keys.gram;
    if (!statistics.rotary)
        addQueries(moments.queries, width, keys);
    LayerBases bases;
    if (options.share_key_basis) {
        const auto matrix = static_cast<std::size_t>(width) * static_cast<std::size_t>(width);
        std::vector<double> total(matrix, 0.0);
        for (std::size_t i = 0; i < keys.size(); ++i)
            total[i % matrix] += keys[i];
        bases.keys.assign(static_cast<std::size_t>(count),
                          decompose(backend, *stream, total, 1, width).front());
    } else {
        bases.keys = decompose(backend, *stream, keys, count, width);
    }
    bases.values =
        decompose(backend, *stream, options.center ? centredGram(own_values) : own_values.gram, count, width);
    if (options.center) {
        setMeans(bases.values, own_values);
        if (statistics.rotary)
            setMeans(bases.keys, own_keys);
    }
    return bases;
}

}  // namespace eigenscope
