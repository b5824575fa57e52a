// SPDX-License-Identifier: Apache-2.0
// A backend that does what another one does and notes the attention calls it is asked for, so that they can
// be repeated alone. One thread while it records; shares the other backend.
#pragma once

#include "core/benchmark/forwarding_backend.h"

#include <deque>
#include <vector>

namespace eigenscope {

class RecordingBackend final : public ForwardingBackend {
public:
    using ForwardingBackend::ForwardingBackend;

    // The calls in their order. Their arrays belong to whoever made the calls: a session and a cache.
    const std::vector<AttentionParams>& attentions() const { return m_attentions; }

    void attention(Stream& s, const AttentionParams& p) override {
        m_attentions.push_back(p);
        if (p.lift != nullptr) {  // the caller's struct ends with the call
            m_attentions.back().lift = &m_lifts.emplace_back(*p.lift);
        }
        ForwardingBackend::attention(s, p);
    }

private:
    std::vector<AttentionParams> m_attentions;
    std::deque<KeyLift> m_lifts;  // addresses stay
};

}  // namespace eigenscope
