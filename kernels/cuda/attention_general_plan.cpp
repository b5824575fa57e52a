// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/error.h"
#include "kernels/api/kv_layout.h"
#include "kernels/cuda/attention_general.h"

#include <algorithm>
#include <string>

namespace eigenscope::cuda {

namespace {

constexpr std::int64_t kLeastPart = 256;  // positions; a shorter part costs more to merge than it saves
constexpr int kMaxSplits = 128;

}  // namespace

int generalQueriesPerTile(const AttentionParams& p, const GeneralTiles& tiles) {
    const int group = p.query_heads / p.kv_heads;
    const bool ring = kvNeedsRing(p.keys) || kvNeedsRing(p.values);
    return ring ? 1 : std::max(1, tiles.rows / group);
}

std::optional<GeneralTiles> generalTiles(const AttentionParams& p, const DeviceLimits& limits) {
    const int group = p.query_heads / p.kv_heads;
    const bool few = std::int64_t{group} * p.query_length <= 4;
    for (const GeneralTiles tiles :
         {GeneralTiles{16, 32}, GeneralTiles{4, 32}, GeneralTiles{16, 8}, GeneralTiles{4, 8}}) {
        if (few && tiles.rows != 4)
            continue;
        if (generalSharedBytes(p, tiles) <= limits.shared_bytes)
            return tiles;
    }
    return std::nullopt;
}

AttentionPlan planGeneral(const AttentionParams& p, const DeviceLimits& limits) {
    const std::optional<GeneralTiles> tiles = generalTiles(p, limits);
    if (!tiles)
        throw Error(ErrorCode::Unsupported,
                    "attention: keys " + std::to_string(p.query_width) + " and values " +
                        std::to_string(p.values.width) + " wide take " +
                        std::to_string(generalSharedBytes(p, {4, 8})) +
                        " bytes of shared memory; the device has " + std::to_string(limits.shared_bytes));
    const std::int64_t end = p.query_position + p.query_length;
    const std::int64_t begin = p.window > 0 ? std::max<std::int64_t>(0, p.query_position - p.window + 1) : 0;
    const int group = p.query_heads / p.kv_heads, queries = generalQueriesPerTile(p, *tiles);
    const std::int64_t blocks = std::int64_t{1} * p.batch * p.kv_heads *
                                ((group + tiles->rows - 1) / tiles->rows) *
                                ((p.query_length + queries - 1) / queries);
    const std::int64_t wanted = std::int64_t{limits.multiprocessors} * kGeneralBlocksPerProcessor;
    AttentionPlan plan;
    plan.path = AttentionPath::General;
    plan.tile_rows = tiles->rows;
    plan.tile_positions = tiles->positions;
    const std::int64_t most =
        std::min<std::int64_t>(kMaxSplits, std::max<std::int64_t>(1, (end - begin) / kLeastPart));
    const std::int64_t splits = std::clamp<std::int64_t>((wanted + blocks - 1) / blocks, 1, most);
    plan.split_length =
        ((end - begin + splits - 1) / splits + tiles->positions - 1) / tiles->positions * tiles->positions;
    plan.splits = static_cast<int>((end - begin + plan.split_length - 1) / plan.split_length);
    if (plan.splits > 1)
        plan.scratch_bytes = partialBytes(p, plan.splits);
    return plan;
}

}  // namespace eigenscope::cuda
