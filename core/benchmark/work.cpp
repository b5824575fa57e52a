// SPDX-License-Identifier: Apache-2.0
#include "core/benchmark/work.h"

#include "kernels/api/kv_layout.h"

#include <algorithm>

namespace eigenscope {

namespace {

// Of one side of one layer: positions [first, position].
std::int64_t bytesRead(const KvView& view, std::int64_t first, std::int64_t position) {
    const std::int64_t heads = std::int64_t{view.batch} * view.heads;
    const std::int64_t stored_end = kvStoredEnd(view, position);
    const std::int64_t stored = std::max<std::int64_t>(0, stored_end - first);
    const std::int64_t exact = position + 1 - std::max(first, stored_end);
    std::int64_t bytes = heads * stored * kvRowBytes(view);
    if (view.bits != 0) {
        const std::int64_t span = kvSpan(view);
        const std::int64_t scale_rows = stored > 0 ? (stored_end + span - 1) / span - first / span : 0;
        bytes += heads * scale_rows * kvScaleStride(view) * 2;  // float16
    }
    return bytes + heads * exact * view.width * static_cast<std::int64_t>(sizeOf(view.dtype));
}

std::int64_t bytesOf(const Tensor& tensor) {
    return tensor.empty() ? 0 : static_cast<std::int64_t>(tensor.bytes());
}

// Of a table of which some rows are read.
std::int64_t rowBytes(const Tensor& table) { return table.empty() ? 0 : bytesOf(table) / table.shape()[0]; }

// Pairs of a query and a position it sees, one sequence.
double visiblePairs(std::int64_t context, std::int64_t window) {
    const auto n = static_cast<double>(context);
    if (window <= 0 || window >= context) {
        return n * (n + 1.0) / 2.0;
    }
    const auto w = static_cast<double>(window);
    return w * (w + 1.0) / 2.0 + (n - w) * w;
}

}  // namespace

std::int64_t cacheBytesRead(const ModelConfig& config, const KvCache& cache, std::int64_t position) {
    std::int64_t bytes = 0;
    for (int layer = 0; layer < config.layers; ++layer) {
        const std::int64_t window = config.window(layer);
        const std::int64_t first = window > 0 ? std::max<std::int64_t>(0, position + 1 - window) : 0;
        bytes += bytesRead(cache.keys(layer), first, position);
        bytes += bytesRead(cache.values(layer), first, position);
    }
    return bytes;
}

std::int64_t decodeWeightBytes(const Model& model, int batch) {
    std::int64_t bytes = model.weightBytes();
    const auto onlyRows = [&](const Tensor& table, std::int64_t rows) {
        bytes -= bytesOf(table) - rows * rowBytes(table);
    };
    if (!model.config.tied_embeddings) {
        onlyRows(model.token_embedding, batch);
    }
    onlyRows(model.position_embedding, 1);  // all sequences are at the same position
    onlyRows(model.rotary_cos, 1);
    onlyRows(model.rotary_sin, 1);
    return bytes;
}

double prefillFlops(const ModelConfig& config, std::int64_t context, int batch) {
    const auto hidden = static_cast<double>(config.hidden_size);
    const double tokens = static_cast<double>(context) * batch;
    double multiplications = 0.0;
    for (int layer = 0; layer < config.layers; ++layer) {
        const int query = config.queryWidth(layer), key = config.keyWidth(layer),
                  value = config.valueWidth(layer);
        const double projections = hidden * (static_cast<double>(config.query_heads) * (query + value) +
                                             static_cast<double>(config.cachedHeads()) * (key + value));
        const double mlp = hidden * config.intermediate_size * (config.gated_mlp ? 3.0 : 2.0);
        multiplications += tokens * (projections + mlp);
        multiplications += batch * visiblePairs(context, config.window(layer)) * config.query_heads *
                           static_cast<double>(query + value);
        if (config.rebuildsKeys()) {
            multiplications += tokens * config.kv_heads * static_cast<double>(config.head_dim) * key;
        }
    }
    if (config.projectsEmbeddings()) {
        multiplications += hidden * config.embedding_size * (tokens + batch);
    }
    multiplications += static_cast<double>(batch) * config.embedding_size * config.vocab_size;
    return 2.0 * multiplications;
}

}  // namespace eigenscope
