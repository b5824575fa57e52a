// SPDX-License-Identifier: Apache-2.0
// Products of bases and weights. Sums are done in float64 and rounded once, to the dtype the weights came in.
// One thread per Folder.
#pragma once

#include "core/model/model.h"
#include "core/spectrum/basis_method.h"

#include <memory>
#include <vector>

namespace eigenscope {

// Value to the nearest number of dtype, in one rounding. (Through float32 alone it would be two for 16-bit
// types.)
void storeRounded(void* data, DType dtype, std::int64_t i, double value);

class Folder {
public:
    Folder(Backend& backend, const JobContext& job);

    // A basis is that of one key/value head, or of several consecutive ones side by side; then its width is
    // theirs together. Query heads come in the order of the key/value heads they belong to.

    // Rank-r part of the encoders applied to the rows of keys or values: weight [bases * width, hidden]
    // becomes [bases * r, hidden] = encode_r W, bias encode_r (b - mean).
    Linear encodeRows(const Linear& projection, const std::vector<HeadBasis>& bases, int rank);
    // Queries that meet encoded keys: rows of each of `heads` query heads, [heads * head_dim, hidden], become
    // [heads * r, hidden] = (the rows of decode_r that rebuild its key head)^T W_h.
    Linear transposedDecodeRows(const Linear& projection, const std::vector<HeadBasis>& bases, int rank,
                                int heads);
    // Outputs of attention to encoded values: columns [hidden, heads * head_dim] become [hidden, heads * r] =
    // W_h (the rows of decode_r that rebuild its value head), bias b + sum over heads of W_h mean.
    Linear decodeColumns(const Linear& projection, const std::vector<HeadBasis>& bases, int rank, int heads);
    // The projection with numbers added to its weight [outputs, inputs] and bias [outputs]; it has a bias
    // then.
    Linear added(const Linear& projection, const std::vector<double>& weight,
                 const std::vector<double>& bias);
    // decode_r of every key/value head [kv_heads, head_dim, r] and the means [kv_heads, head_dim] (empty when
    // no basis has one), f32.
    Tensor decoders(const std::vector<HeadBasis>& bases, int rank, int kv_heads);
    Tensor means(const std::vector<HeadBasis>& bases, int kv_heads);

private:
    std::vector<double> download(const Tensor& tensor);  // elements in order
    Tensor upload(const std::vector<double>& values, DType dtype, Shape shape);
    // A bias is kept in float32 but holds what the weights' dtype can: a checkpoint that is read back is the
    // same.
    Tensor uploadBias(const std::vector<double>& values, DType rounding);
    Backend& m_backend;
    const JobContext& m_job;
    std::unique_ptr<Stream> m_stream;
};

}  // namespace eigenscope
