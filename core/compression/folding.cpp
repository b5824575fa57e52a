// SPDX-License-Identifier: Apache-2.0
#include "core/compression/folding.h"

#include <Eigen/Core>

#include <bit>
#include <cmath>

namespace eigenscope {

namespace {

using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
using Vector = Eigen::VectorXd;

Eigen::Map<const Matrix> asMatrix(const std::vector<double>& values, int rows, int columns) {
    return {values.data(), rows, columns};
}
Eigen::Map<const Vector> asVector(const std::vector<double>& values) {
    return {values.data(), static_cast<Eigen::Index>(values.size())};
}

// Towards zero with the last bit set unless exact: rounding the result to 16 bits then equals rounding the
// double, since float32 has more than two digits to spare (S. Boldo, G. Melquiond, "Emulation of FMA and
// correctly rounded sums: proved algorithms using rounding to odd", 2008).
float roundToOdd(double value) {
    float single = static_cast<float>(value);
    if (static_cast<double>(single) == value || !std::isfinite(single))
        return single;
    if (std::abs(static_cast<double>(single)) > std::abs(value))
        single = std::nextafter(single, 0.0f);
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(single) | 1u);
}

// The rows of a basis that rebuild what query head `head` of `heads` attends to.
struct HeadPart {
    HeadPart(const std::vector<HeadBasis>& bases, int head, int heads, int head_dim)
        : basis(bases[static_cast<std::size_t>(head / (heads / static_cast<int>(bases.size())))]),
          head_dim(head_dim) {
        const int heads_of_basis = heads / static_cast<int>(bases.size());
        const int heads_of_key = heads_of_basis / (basis.width / head_dim);
        row = head % heads_of_basis / heads_of_key * head_dim;
    }
    Matrix decoder(int rank) const {  // [head_dim, rank]
        return asMatrix(basis.decode, basis.width, basis.width).block(row, 0, head_dim, rank);
    }
    const HeadBasis& basis;
    int head_dim, row = 0;
};

}  // namespace

void storeRounded(void* data, DType dtype, std::int64_t i, double value) {
    storeFromF32(data, dtype, i, dtype == DType::F32 ? static_cast<float>(value) : roundToOdd(value));
}

Folder::Folder(Backend& backend, const JobContext& job)
    : m_backend(backend), m_job(job), m_stream(backend.createStream(0)) {}

std::vector<double> Folder::download(const Tensor& tensor) {
    std::vector<std::byte> bytes(tensor.bytes());
    m_backend.download(*m_stream, bytes.data(), tensor.data(), bytes.size());
    std::vector<double> values(static_cast<std::size_t>(tensor.shape().count()));
    for (std::size_t i = 0; i < values.size(); ++i)
        values[i] = loadAsF32(bytes.data(), tensor.dtype(), static_cast<std::int64_t>(i));
    return values;
}

Tensor Folder::upload(const std::vector<double>& values, DType dtype, Shape shape) {
    std::vector<std::byte> bytes(values.size() * sizeOf(dtype));
    for (std::size_t i = 0; i < values.size(); ++i)
        storeRounded(bytes.data(), dtype, static_cast<std::int64_t>(i), values[i]);
    Tensor tensor = makeTensor(m_backend, dtype, shape);
    m_backend.upload(*m_stream, tensor.data(), bytes.data(), bytes.size());
    m_stream->synchronize();  // the bytes end with this function
    return tensor;
}

Tensor Folder::uploadBias(const std::vector<double>& values, DType rounding) {
    std::vector<double> rounded(values.size());
    float element = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        storeRounded(&element, rounding, 0, values[i]);
        rounded[i] = loadAsF32(&element, rounding, 0);
    }
    return upload(rounded, DType::F32, {static_cast<std::int64_t>(values.size())});
}

Linear Folder::encodeRows(const Linear& projection, const std::vector<HeadBasis>& bases, int rank) {
    const int count = static_cast<int>(bases.size()), width = bases.front().width;
    const int hidden = static_cast<int>(projection.inputs());
    const std::vector<double> weight = download(projection.weight);
    std::vector<double> shift = projection.bias.empty() ? std::vector<double>() : download(projection.bias);
    const auto rows = asMatrix(weight, count * width, hidden);
    std::vector<double> new_weight(static_cast<std::size_t>(count * rank) * static_cast<std::size_t>(hidden));
    std::vector<double> new_bias(static_cast<std::size_t>(count * rank), 0.0);
    Eigen::Map<Matrix> mapped(new_weight.data(), count * rank, hidden);
    Eigen::Map<Vector> mapped_bias(new_bias.data(), count * rank);
    bool has_bias = !shift.empty();
    shift.resize(static_cast<std::size_t>(count * width), 0.0);
    for (int i = 0; i < count; ++i) {
        m_job.checkCancelled();
        const HeadBasis& basis = bases[static_cast<std::size_t>(i)];
        const auto encode = asMatrix(basis.encode, width, width).topRows(rank);
        mapped.middleRows(i * rank, rank).noalias() = encode * rows.middleRows(i * width, width);
        Vector from = asVector(shift).segment(i * width, width);
        if (!basis.mean.empty()) {
            from -= asVector(basis.mean);
            has_bias = true;
        }
        mapped_bias.segment(i * rank, rank) = encode * from;
    }
    const DType dtype = projection.weight.dtype();
    Linear result;
    result.weight = upload(new_weight, dtype, {std::int64_t{count} * rank, hidden});
    if (has_bias)
        result.bias = uploadBias(new_bias, dtype);
    return result;
}

Linear Folder::transposedDecodeRows(const Linear& projection, const std::vector<HeadBasis>& bases, int rank,
                                    int heads) {
    const int head_dim = static_cast<int>(projection.outputs()) / heads;
    const int hidden = static_cast<int>(projection.inputs());
    const std::vector<double> weight = download(projection.weight);
    const std::vector<double> bias =
        projection.bias.empty() ? std::vector<double>() : download(projection.bias);
    const auto rows = asMatrix(weight, heads * head_dim, hidden);
    std::vector<double> new_weight(static_cast<std::size_t>(heads * rank) * static_cast<std::size_t>(hidden));
    std::vector<double> new_bias(static_cast<std::size_t>(heads * rank), 0.0);
    Eigen::Map<Matrix> mapped(new_weight.data(), heads * rank, hidden);
    Eigen::Map<Vector> mapped_bias(new_bias.data(), heads * rank);
    for (int head = 0; head < heads; ++head) {
        m_job.checkCancelled();
        const HeadPart part(bases, head, heads, head_dim);
        const Matrix map = part.decoder(rank).transpose();
        mapped.middleRows(head * rank, rank).noalias() = map * rows.middleRows(head * head_dim, head_dim);
        if (!bias.empty())
            mapped_bias.segment(head * rank, rank) = map * asVector(bias).segment(head * head_dim, head_dim);
    }
    const DType dtype = projection.weight.dtype();
    Linear result;
    result.weight = upload(new_weight, dtype, {std::int64_t{heads} * rank, hidden});
    if (!bias.empty())
        result.bias = uploadBias(new_bias, dtype);
    return result;
}

Linear Folder::decodeColumns(const Linear& projection, const std::vector<HeadBasis>& bases, int rank,
                             int heads) {
    const int head_dim = static_cast<int>(projection.inputs()) / heads;
    const int hidden = static_cast<int>(projection.outputs());
    const std::vector<double> weight = download(projection.weight);
    const auto columns = asMatrix(weight, hidden, heads * head_dim);
    std::vector<double> new_weight(static_cast<std::size_t>(hidden) * static_cast<std::size_t>(heads * rank));
    Eigen::Map<Matrix> mapped(new_weight.data(), hidden, heads * rank);
    std::vector<double> bias(static_cast<std::size_t>(hidden), 0.0);
    bool has_bias = !projection.bias.empty();
    if (has_bias)
        bias = download(projection.bias);
    Eigen::Map<Vector> sum(bias.data(), hidden);
    for (int head = 0; head < heads; ++head) {
        m_job.checkCancelled();
        const HeadPart part(bases, head, heads, head_dim);
        const auto block = columns.middleCols(head * head_dim, head_dim);
        mapped.middleCols(head * rank, rank).noalias() = block * part.decoder(rank);
        if (!part.basis.mean.empty()) {
            sum += block * asVector(part.basis.mean).segment(part.row, head_dim);
            has_bias = true;
        }
    }
    const DType dtype = projection.weight.dtype();
    Linear result;
    result.weight = upload(new_weight, dtype, {hidden, std::int64_t{heads} * rank});
    if (has_bias)
        result.bias = uploadBias(bias, dtype);
    return result;
}

Linear Folder::added(const Linear& projection, const std::vector<double>& weight,
                     const std::vector<double>& bias) {
    std::vector<double> new_weight = download(projection.weight), new_bias = bias;
    for (std::size_t i = 0; i < new_weight.size(); ++i)
        new_weight[i] += weight[i];
    if (!projection.bias.empty()) {
        const std::vector<double> before = download(projection.bias);
        for (std::size_t i = 0; i < before.size(); ++i)
            new_bias[i] += before[i];
    }
    const DType dtype = projection.weight.dtype();
    return {upload(new_weight, dtype, projection.weight.shape()), uploadBias(new_bias, dtype)};
}

Tensor Folder::decoders(const std::vector<HeadBasis>& bases, int rank, int kv_heads) {
    const int width = bases.front().width;
    std::vector<double> values;
    for (const HeadBasis& basis : bases) {
        for (int row = 0; row < width; ++row) {
            const auto begin = basis.decode.begin() + row * width;
            values.insert(values.end(), begin, begin + rank);
        }
    }
    const std::int64_t rows = static_cast<std::int64_t>(bases.size()) * width;
    return upload(values, DType::F32, {kv_heads, rows / kv_heads, rank});
}

Tensor Folder::means(const std::vector<HeadBasis>& bases, int kv_heads) {
    const int width = bases.front().width;
    std::vector<double> values;
    bool any = false;
    for (const HeadBasis& basis : bases) {
        any = any || !basis.mean.empty();
        values.insert(values.end(), basis.mean.begin(), basis.mean.end());
        if (basis.mean.empty())
            values.insert(values.end(), static_cast<std::size_t>(width), 0.0);
    }
    const std::int64_t rows = static_cast<std::int64_t>(bases.size()) * width;
    return any ? upload(values, DType::F32, {kv_heads, rows / kv_heads}) : Tensor();
}

}  // namespace eigenscope
