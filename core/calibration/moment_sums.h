// SPDX-License-Identifier: Apache-2.0
// One layer's sums of attention moments (attention_moments.h) in device memory. A value: copies share the
// memory. Ops that add to it are queued by others.
#pragma once

#include "core/calibration/statistics.h"
#include "core/model/model.h"

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace eigenscope {

class MomentSums {
public:
    // Zeros; waits for the stream.
    MomentSums(Backend& backend, Stream& stream, const ModelConfig& config, int head_group);

    struct Keys {
        std::int32_t heads, width;
        double* gram;  // [heads, width, width]
        double* sum;   // [heads, width]
    };
    double* queries() const { return at(0); }  // S_q [kv_heads, head_dim, head_dim]
    Keys keys() const { return addresses(m_keys); }
    Keys joint() const { return addresses(m_joint); }  // `head_group` heads side by side; no heads if 1
    double* weights() const { return at(m_weights); }  // [kv_heads], sum w

    // Sets `logit_queries`, `logit_keys`, `joint_logit_keys` and `logit_weights`.
    void fill(Backend& backend, Stream& stream, LayerStatistics& statistics) const;
    // All numbers in the order in which files keep them, and back.
    std::vector<double> kept(Backend& backend, Stream& stream) const;
    void restore(Backend& backend, Stream& stream, std::span<const double> kept);
    static std::size_t count(const ModelConfig& config, int head_group);

private:
    // Places in the buffer, counted in doubles.
    struct KeyPlaces {
        std::size_t heads = 0, width = 0, begin = 0;
        std::size_t gram(std::size_t head = 0) const { return begin + head * width * width; }
        std::size_t sum(std::size_t head = 0) const { return gram(heads) + head * width; }
        std::size_t end() const { return sum(heads); }
    };
    MomentSums(const ModelConfig& config, int head_group);
    template <typename Visit>
    void inFileOrder(const Visit& visit) const;
    double* at(std::size_t place) const { return static_cast<double*>(m_buffer->data()) + place; }
    Keys addresses(const KeyPlaces& places) const {
        return {static_cast<std::int32_t>(places.heads), static_cast<std::int32_t>(places.width),
                at(places.gram()), at(places.sum())};
    }
    std::vector<double> downloaded(Backend& backend, Stream& stream) const;
    static Moments momentsOf(const std::vector<double>& sums, const KeyPlaces& places);

    KeyPlaces m_keys, m_joint;
    std::size_t m_weights = 0, m_end = 0;
    std::shared_ptr<Buffer> m_buffer;
};

}  // namespace eigenscope
