// SPDX-License-Identifier: Apache-2.0
#include "core/benchmark/memory_estimate.h"

#include "core/generation/prefill.h"
#include "core/model/transformer.h"
#include "kernels/api/kv_layout.h"

#include <algorithm>
#include <utility>

namespace eigenscope {

MemoryEstimate estimateMemory(const ModelConfig& config, std::int64_t weight_bytes, std::int64_t context,
                              int batch, const KvFormat& kv_format, std::int64_t prefill_rows,
                              bool streamed) {
    if (context < 1 || batch < 1 || prefill_rows < 1) {
        throw Error(ErrorCode::InvalidInput, "context, batch and prefill rows are at least 1, found " +
                                                 std::to_string(context) + ", " + std::to_string(batch) +
                                                 " and " + std::to_string(prefill_rows));
    }
    MemoryEstimate estimate;
    estimate.weight_bytes = weight_bytes;
    // A call has a row for each sequence at least, and no more than there are tokens.
    const std::int64_t rows = std::clamp<std::int64_t>(prefill_rows, batch, batch * context);
    estimate.kv_bytes =
        static_cast<std::int64_t>(kvCacheBytes(config, kv_format, batch, context, rows / batch));
    estimate.scratch_bytes = static_cast<std::int64_t>(activationBytes(config, rows, batch));
    if (streamed) {
        estimate.scratch_bytes += streamedPrefillBytes(config, context, batch);
    }
    return estimate;
}

std::int64_t longestContext(const ModelConfig& config, std::int64_t weight_bytes, std::int64_t memory_bytes,
                            int batch, const KvFormat& kv_format, std::int64_t prefill_rows, bool streamed) {
    const auto fits = [&](std::int64_t context) {
        return estimateMemory(config, weight_bytes, context, batch, kv_format, prefill_rows, streamed)
                   .total() <= memory_bytes;
    };
    if (!fits(1)) {
        return 0;
    }
    // The total grows with the context, and what every position takes by itself bounds it: all of it but the
    // scales of groups by channel.
    std::int64_t position_bytes = 0;
    for (const KvLayerSpec& spec : kvLayerSpecs(config, kv_format)) {
        for (const auto& [side, width] :
             {std::pair(spec.keys, spec.key_width), std::pair(spec.values, spec.value_width)}) {
            position_bytes += kvDataBytes(side.view(batch, spec.kv_heads, width, 1, 1));
        }
    }
    std::int64_t low = 1;
    std::int64_t high = (memory_bytes - weight_bytes) / position_bytes + 1;
    while (high - low > 1) {
        const std::int64_t middle = low + (high - low) / 2;
        (fits(middle) ? low : high) = middle;
    }
    return low;
}

}  // namespace eigenscope
