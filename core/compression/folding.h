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

    // Rank-r part of the encoders applied to each head's rows: weight [heads * width, hidden] becomes
    // [heads * r, hidden] = encode_r W_h, bias encode_r (b_h - mean). bases[h / group] belongs to head h.
    Linear encodeRows(const Linear& projection, const std::vector<HeadBasis>& bases, int rank, int group);
    // The same with decode_r transposed and no mean: queries that meet encoded keys.
    Linear transposedDecodeRows(const Linear& projection, const std::vector<HeadBasis>& bases, int rank,
                                int group);
    // Rank-r part of the decoders applied to each head's columns: weight [hidden, heads * width] becomes
    // [hidden, heads * r] = W_h decode_r, bias b + sum over heads of W_h mean.
    Linear decodeColumns(const Linear& projection, const std::vector<HeadBasis>& bases, int rank, int group);
    // The projection with numbers added to its weight [outputs, inputs] and bias [outputs]; it has a bias
    // then.
    Linear added(const Linear& projection, const std::vector<double>& weight,
                 const std::vector<double>& bias);
    // decode_r of every head [heads, width, r] and the means [heads, width] (empty when no basis has one),
    // f32.
    Tensor decoders(const std::vector<HeadBasis>& bases, int rank);
    Tensor means(const std::vector<HeadBasis>& bases);

private:
    std::vector<double> download(const Tensor& tensor);  // elements in order
    Tensor upload(const std::vector<double>& values, DType dtype, Shape shape);
    // A bias is kept in float32 but holds what the weights' dtype can: a checkpoint that is read back is the
    // same.
    Tensor uploadBias(const std::vector<double>& values, DType rounding);
    Linear mapRows(const Linear& projection, const std::vector<HeadBasis>& bases, int rank, int group,
                   bool encode);

    Backend& m_backend;
    const JobContext& m_job;
    std::unique_ptr<Stream> m_stream;
};

}  // namespace eigenscope
