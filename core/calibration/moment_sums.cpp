// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/moment_sums.h"

#include <algorithm>

namespace eigenscope {

MomentSums::MomentSums(const ModelConfig& config, int head_group) {
    const auto heads = static_cast<std::size_t>(config.kv_heads);
    const auto width = static_cast<std::size_t>(config.head_dim);
    const auto group = static_cast<std::size_t>(head_group);
    m_keys = {heads, width, heads * width * width};
    m_joint = {group > 1 ? heads / group : 0, group * width, m_keys.end()};
    m_weights = m_joint.end();
    m_end = m_weights + heads;
}

MomentSums::MomentSums(Backend& backend, Stream& stream, const ModelConfig& config, int head_group)
    : MomentSums(config, head_group) {
    const std::vector<double> zeros(m_end, 0.0);
    m_buffer = backend.allocate(m_end * sizeof(double));
    backend.upload(stream, m_buffer->data(), zeros.data(), m_buffer->bytes());
    stream.synchronize();  // the zeros end with this function
}

std::size_t MomentSums::count(const ModelConfig& config, int head_group) {
    return MomentSums(config, head_group).m_end;
}

// Calls visit(place, count) for parts: each head's Gram matrix and sum follow each other in files.
template <typename Visit>
void MomentSums::inFileOrder(const Visit& visit) const {
    visit(0, m_keys.begin);
    for (const KeyPlaces& places : {m_keys, m_joint}) {
        for (std::size_t head = 0; head < places.heads; ++head) {
            visit(places.gram(head), places.width * places.width);
            visit(places.sum(head), places.width);
        }
    }
    visit(m_weights, m_end - m_weights);
}

std::vector<double> MomentSums::downloaded(Backend& backend, Stream& stream) const {
    std::vector<double> sums(m_end);
    backend.download(stream, sums.data(), m_buffer->data(), m_buffer->bytes());
    return sums;
}

Moments MomentSums::momentsOf(const std::vector<double>& sums, const KeyPlaces& places) {
    const auto part = [&](std::size_t begin, std::size_t end) {
        return std::vector<double>(sums.begin() + static_cast<std::ptrdiff_t>(begin),
                                   sums.begin() + static_cast<std::ptrdiff_t>(end));
    };
    Moments moments;
    moments.heads = static_cast<int>(places.heads);
    moments.width = places.heads > 0 ? static_cast<int>(places.width) : 0;
    moments.gram = part(places.gram(), places.sum());
    moments.sum = part(places.sum(), places.end());
    return moments;
}

void MomentSums::fill(Backend& backend, Stream& stream, LayerStatistics& statistics) const {
    const std::vector<double> sums = downloaded(backend, stream);
    statistics.logit_queries = Moments(static_cast<int>(m_keys.heads), static_cast<int>(m_keys.width));
    statistics.logit_queries.sum.clear();
    std::copy_n(sums.begin(), m_keys.begin, statistics.logit_queries.gram.begin());
    statistics.logit_keys = momentsOf(sums, m_keys);
    statistics.joint_logit_keys = momentsOf(sums, m_joint);
    statistics.logit_weights.assign(sums.begin() + static_cast<std::ptrdiff_t>(m_weights), sums.end());
}

std::vector<double> MomentSums::kept(Backend& backend, Stream& stream) const {
    const std::vector<double> sums = downloaded(backend, stream);
    std::vector<double> result;
    inFileOrder([&](std::size_t place, std::size_t count) {
        const auto begin = sums.begin() + static_cast<std::ptrdiff_t>(place);
        result.insert(result.end(), begin, begin + static_cast<std::ptrdiff_t>(count));
    });
    return result;
}

void MomentSums::restore(Backend& backend, Stream& stream, std::span<const double> kept) {
    std::vector<double> sums(m_end);
    const double* next = kept.data();
    inFileOrder([&](std::size_t place, std::size_t count) {
        std::copy_n(next, count, sums.begin() + static_cast<std::ptrdiff_t>(place));
        next += count;
    });
    backend.upload(stream, m_buffer->data(), sums.data(), m_buffer->bytes());
    stream.synchronize();  // `sums` ends here
}

}  // namespace eigenscope
