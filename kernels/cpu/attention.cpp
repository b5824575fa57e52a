// SPDX-License-Identifier: Apache-2.0
// The attention op: picks the kernel, and prepares what the kernels share.
#include "kernels/cpu/attention_plan.h"
#include "kernels/cpu/cpu_ops.h"

namespace eigenscope::cpu {
namespace {

constexpr std::int64_t kGrain = 16384;  // elements of bases that are worth a thread
// Laying a head out pays from about this many query positions on; with a lift, which decode repeats for every
// task of query rows, from this many rows on.
constexpr std::int64_t kPrefillLength = 33;
constexpr std::int64_t kPrefillLiftRows = 96;

bool manyRows(const AttentionParams& p) {
    const std::int64_t rows = std::int64_t{p.query_length} * (p.query_heads / p.kv_heads);
    return p.query_length >= kPrefillLength || (p.lift && rows >= kPrefillLiftRows && p.query_length > 1);
}

}  // namespace

LiftedBases liftedBases(CpuStream& stream, const AttentionParams& p, const AttentionShape& shape) {
    if (!p.lift)
        return {};
    const std::int64_t rank = p.keys.width, width = p.query_width, pad = shape.query_pad;
    float* basis = stream.arena().take<float>(p.kv_heads * rank * pad);
    parallelRanges(stream.threads(), p.kv_heads, kGrain / (rank * width) + 1,
                   [&](std::int64_t begin, std::int64_t end, int) {
                       for (std::int64_t h = begin; h < end; ++h) {
                           const float* from = p.lift->basis + h * width * rank;
                           float* to = basis + h * rank * pad;
                           for (std::int64_t i = 0; i < rank; ++i) {
                               for (std::int64_t d = 0; d < width; ++d)
                                   to[i * pad + d] = from[d * rank + i];
                               std::fill(to + i * pad + width, to + (i + 1) * pad, 0.0f);
                           }
                       }
                   });
    if (!p.lift->mean)
        return {basis, nullptr};
    float* mean = stream.arena().take<float>(p.kv_heads * pad);
    for (std::int64_t h = 0; h < p.kv_heads; ++h) {
        std::copy(p.lift->mean + h * width, p.lift->mean + (h + 1) * width, mean + h * pad);
        std::fill(mean + h * pad + width, mean + (h + 1) * pad, 0.0f);
    }
    return {basis, mean};
}

void attention(CpuStream& stream, const AttentionParams& p) {
    stream.arena().reset();
    if (p.batch == 0 || p.query_length == 0)
        return;
    if (manyRows(p))
        attentionPrefill(stream, p);
    else
        attentionDecode(stream, p);
}

}  // namespace eigenscope::cpu
