// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/sample_average.h"

#include <algorithm>

namespace eigenscope {

SampleAverage::SampleAverage(Backend& backend, const ModelConfig& config, int samples, std::int64_t length)
    : m_backend(backend),
      m_config(config),
      m_samples(samples),
      m_length(length),
      m_sums(static_cast<std::size_t>(config.layers)) {}

int SampleAverage::heads(int kind) const {
    return kind % 2 == 0 ? m_config.kv_heads : m_config.query_heads;  // keys and values are even
}

void SampleAverage::add(Stream& stream, int layer, int kind, const TensorView& rows, std::int64_t start) {
    const auto count = static_cast<std::size_t>(rows.shape.count());
    m_rows.resize(count);
    m_backend.download(stream, m_rows.data(), rows.data, rows.bytes());
    std::vector<float>& all = m_sums[static_cast<std::size_t>(layer)][static_cast<std::size_t>(kind)];
    if (all.empty())
        all.assign(static_cast<std::size_t>(m_length * heads(kind) * m_config.head_dim), 0.0f);
    float* sums = all.data() + start * heads(kind) * m_config.head_dim;
    for (std::size_t i = 0; i < count; ++i)
        sums[i] += m_rows[i];
}

void SampleAverage::endWindow(Stream& stream, const std::function<void(int, int, const TensorView&)>& sink) {
    if (++m_windows < m_samples)
        return;
    m_windows = 0;
    const float share = 1.0f / static_cast<float>(m_samples);
    for (int layer = 0; layer < m_config.layers; ++layer) {
        for (int kind = 0; kind < kKinds; ++kind) {
            std::vector<float>& sums =
                m_sums[static_cast<std::size_t>(layer)][static_cast<std::size_t>(kind)];
            if (sums.empty())
                continue;
            for (float& sum : sums)
                sum *= share;
            const Tensor rows = makeTensor(m_backend, DType::F32, {m_length, heads(kind), m_config.head_dim});
            m_backend.upload(stream, rows.data(), sums.data(), rows.bytes());
            sink(layer, kind, rows.view());
            stream.synchronize();  // the rows end here
            std::fill(sums.begin(), sums.end(), 0.0f);
        }
    }
}

void SampleAverage::close(int layer) {
    for (std::vector<float>& sums : m_sums[static_cast<std::size_t>(layer)])
        sums = {};
}

}  // namespace eigenscope
