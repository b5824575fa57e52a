// SPDX-License-Identifier: Apache-2.0
// The query rows of one attention task, for each instruction set: loading and scaling them, the softmax step
// of all of them on a block of keys, and writing the result.

#if defined(EIGENSCOPE_CPU_ATTENTION_ROWS_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EIGENSCOPE_CPU_ATTENTION_ROWS_INL_H
#undef EIGENSCOPE_CPU_ATTENTION_ROWS_INL_H
#else
#define EIGENSCOPE_CPU_ATTENTION_ROWS_INL_H
#endif

#include "kernels/cpu/attention_block-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

// First element of head (b, h) in a cache view.
template <class E>
const typename E::T* headRows(const KvView& v, std::int64_t b, std::int64_t h) {
    return static_cast<const typename E::T*>(v.data) + (b * v.heads + h) * v.capacity * v.width;
}

// query: [rows, query_pad], scaled and zero padded.
inline void loadQueries(const AttentionParams& p, const AttentionShape& shape, const QueryRows& rows,
                        float* query) {
    for (std::int64_t r = 0; r < rows.count; ++r) {
        const float* from = p.query + shape.rowIndex(p, rows, r) * p.query_width;
        float* to = query + r * shape.query_pad;
        for (std::int64_t i = 0; i < p.query_width; ++i)
            to[i] = from[i] * p.scale;
        std::fill(to + p.query_width, to + shape.query_pad, 0.0f);
    }
}

HWY_INLINE void scaleRow(float* row, std::int64_t pad, float factor) {
    const Float f = hn::Set(kF, factor);
    for (std::int64_t i = 0; i < pad; i += kLanes)
        F32::store(hn::Mul(F32::load(row + i), f), row + i);
}

// scores, [rows, kKeyBlock], of the keys first + [0, count), read from `source`, become weights; out, [rows,
// value_pad], is rescaled.
inline void softmaxRows(const AttentionParams& p, const KeySource& source, const AttentionShape& shape,
                        const QueryRows& rows, std::int64_t first, std::int64_t count, float* scores,
                        float* out, SoftmaxState* states) {
    for (std::int64_t r = 0; r < rows.count; ++r) {
        const std::int64_t position = p.query_position + (rows.first + r) / shape.group;
        const KeyRange seen = visibleKeys(p, source, position, position);
        const std::int64_t begin = std::clamp<std::int64_t>(seen.begin - first, 0, count);
        const std::int64_t end = std::clamp<std::int64_t>(seen.end - first, begin, count);
        const std::int64_t head = rows.kv_head * shape.group + (rows.first + r) % shape.group;
        const float factor =
            softmaxStep(scores + r * kKeyBlock, begin, end, p.alibi_slopes ? p.alibi_slopes[head] : 0.0f,
                        static_cast<float>(first - position), states[r]);
        if (factor != 1.0f)
            scaleRow(out + r * shape.value_pad, shape.value_pad, factor);
    }
}

// Normalises out and copies it to the op's output.
inline void writeRows(const AttentionParams& p, const AttentionShape& shape, const QueryRows& rows,
                      float* out, const SoftmaxState* states) {
    for (std::int64_t r = 0; r < rows.count; ++r) {
        float* from = out + r * shape.value_pad;
        scaleRow(from, shape.value_pad, 1.0f / states[r].sum);
        std::copy(from, from + p.values.width, p.output + shape.rowIndex(p, rows, r) * p.values.width);
    }
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
