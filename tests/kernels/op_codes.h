// SPDX-License-Identifier: Apache-2.0
// Quantised caches for op cases: their format, and arrays of the right size.
#pragma once

#include "kernels/api/kv_layout.h"
#include "tests/kernels/op_case.h"

namespace eigenscope::optest {

struct CodeFormat {
    std::int32_t bits = 0;  // 0: dense
    std::int32_t group = 32;
    KvGrouping grouping = KvGrouping::Token;
    std::int32_t recent = 0;
};

inline std::string describe(const CodeFormat& f) {
    return "q" + std::to_string(f.bits) + " group " + std::to_string(f.group) +
           (f.grouping == KvGrouping::Channel ? " by channel" : "") +
           (f.recent > 0 ? " recent " + std::to_string(f.recent) : "");
}

// Sets format and ring of a view whose sizes are known; `longest` positions are appended at a time.
inline void setFormat(KvView& view, const CodeFormat& f, std::int64_t longest) {
    view.bits = f.bits, view.group = f.group, view.grouping = f.grouping, view.recent = f.recent;
    view.exact_capacity = kvRingRows(view, longest);
}

}  // namespace eigenscope::optest
