// SPDX-License-Identifier: Apache-2.0
// Attention with float32 products: any widths, any cache, lifted keys. A block takes a tile of rows, which
// are the queries of the heads that share a key/value head, through a part of the sequence, with a running
// maximum (online softmax, arXiv 1805.02867). Speed matters less here than that every shape works.
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_cache.cuh"
#include "kernels/cuda/attention_general.h"
#include "kernels/cuda/device_position.cuh"
#include "kernels/cuda/launch.cuh"

#include <cmath>

namespace eigenscope::cuda {

namespace {

constexpr int kBlock = 128, kWarps = kBlock / 32;

struct GeneralParams {
    AttentionParams op;  // its lift is a host pointer; the copy below counts
    KeyLift lift;
    bool lifted = false;
    CacheLayout keys, values;
    AttentionPartials partials;
    std::int64_t split_length = 0;
    int splits = 1;
    int group = 1, head_tiles = 1;  // query heads of a key/value head, and tiles that they take
    int queries = 1;                // positions that share a tile
    unsigned query_tiles = 1;
    int key_pitch = 0;  // floats between keys
};

// Where a block is: its rows are (query first_query + r / heads, head first_head + r % heads). Tiles of all
// heads are counted in x, the one dimension of a grid that takes more than 65535.
struct BlockTile {
    std::int64_t b, kv_head, first_query;
    int queries, first_head, heads, rows;
};

template <int kRows>
__device__ BlockTile blockTile(const GeneralParams& g) {
    const AttentionParams& p = g.op;
    BlockTile tile{};
    const unsigned query_tile = blockIdx.x % g.query_tiles, head = blockIdx.x / g.query_tiles;
    const int head_tile = static_cast<int>(head % static_cast<unsigned>(g.head_tiles));
    const std::int64_t bh = head / static_cast<unsigned>(g.head_tiles);
    tile.b = bh / p.kv_heads;
    tile.kv_head = bh % p.kv_heads;
    tile.first_query = static_cast<std::int64_t>(query_tile) * g.queries;
    tile.queries = min(g.queries, static_cast<int>(p.query_length - tile.first_query));
    tile.first_head = head_tile * kRows;
    tile.heads = min(g.group - tile.first_head, kRows);
    tile.rows = tile.queries * tile.heads;
    return tile;
}

// keys[j, d] = mean[d] + sum over r of basis[d, r] latents[j, r], then rotated to position first + j.
template <int kTile>
__device__ void liftKeys(const GeneralParams& g, std::int64_t kv_head, std::int64_t first, int count,
                         const float* latents, float* keys, int pitch) {
    const int width = g.op.query_width, rank = g.op.keys.width;
    for (int d = threadIdx.x; d < width; d += kBlock) {
        const float* basis = g.lift.basis + (kv_head * width + d) * rank;
        float sums[kTile];
        const float mean = g.lift.mean ? g.lift.mean[kv_head * width + d] : 0.0f;
#pragma unroll
        for (int j = 0; j < kTile; ++j)
            sums[j] = 0.0f;
        for (int r = 0; r < rank; ++r) {
            const float b = basis[r];
#pragma unroll
            for (int j = 0; j < kTile; ++j)
                sums[j] += b * latents[j * rank + r];
        }
#pragma unroll
        for (int j = 0; j < kTile; ++j)
            keys[j * pitch + d] = sums[j] + mean;
    }
    __syncthreads();
    const int half = g.lift.table.rotary_dim / 2;
    for (int j = threadIdx.x / 32; j < count; j += kWarps)
        for (int i = threadIdx.x % 32; i < half; i += 32) {
            const float c = g.lift.table.cos[(first + j) * half + i],
                        s = g.lift.table.sin[(first + j) * half + i];
            float* key = keys + j * pitch + i;
            const float low = key[0], high = key[half];
            key[0] = low * c - high * s;
            key[half] = high * c + low * s;
        }
}

template <int kRows, int kTile>
__global__ void __launch_bounds__(kBlock, kGeneralBlocksPerProcessor) generalKernel(GeneralParams g) {
    static_assert(kRows % kWarps == 0 && kTile <= 32, "a warp has whole rows, a lane one position");
    const AttentionParams& p = g.op;
    const int query_width = p.query_width, value_width = p.values.width, pitch = g.key_pitch;
    auto* queries = dynamicShared<float>();         // [kRows, query_width]
    float* keys = queries + kRows * query_width;    // [kTile, pitch]
    float* values = keys + kTile * pitch;           // [kTile, value_width]
    float* weights = values + kTile * value_width;  // [kRows, kTile]
    float* sums = weights + kRows * kTile;          // [kRows, value_width]
    float* largest = sums + kRows * value_width;    // [kRows], also total and correction
    float* total = largest + kRows;
    float* correction = total + kRows;
    float* latents = correction + kRows;  // [kTile, keys.width] with a lift

    const BlockTile tile = blockTile<kRows>(g);
    const std::int64_t query_position = queryPosition(p);
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    const auto rowIndex = [&](int r) {  // of query and output
        const std::int64_t m = tile.first_query + r / tile.heads;
        return (tile.b * p.query_length + m) * p.query_heads + tile.kv_head * g.group + tile.first_head +
               r % tile.heads;
    };
    for (int r = warp; r < kRows; r += kWarps)
        for (int i = lane; i < query_width; i += 32)
            queries[r * query_width + i] = r < tile.rows ? p.query[rowIndex(r) * query_width + i] : 0.0f;
    for (int i = threadIdx.x; i < kRows * value_width; i += kBlock)
        sums[i] = 0.0f;
    if (threadIdx.x < kRows) {
        largest[threadIdx.x] = -INFINITY;
        total[threadIdx.x] = 0.0f;
    }

    // Positions that a row of the tile sees, cut to this block's part.
    const std::int64_t first_position = query_position + tile.first_query;
    const std::int64_t seen =
        p.window > 0 && first_position + 1 > p.window ? first_position + 1 - p.window : 0;
    const std::int64_t origin =
        p.window > 0 && query_position + 1 > p.window ? query_position + 1 - p.window : 0;
    const std::int64_t part = origin + static_cast<std::int64_t>(blockIdx.y) * g.split_length;
    std::int64_t begin = seen > part ? seen : part;
    std::int64_t end = first_position + tile.queries;
    if (end > part + g.split_length)
        end = part + g.split_length;
    const std::int64_t key_head = tile.b * p.keys.heads + tile.kv_head / (p.kv_heads / p.keys.heads);
    const std::int64_t value_head = tile.b * p.values.heads + tile.kv_head / (p.kv_heads / p.values.heads);
    // With a ring the tile has one query position.
    const std::int64_t reader = first_position + tile.queries - 1;

    for (std::int64_t base = begin; base < end; base += kTile) {
        const int count = static_cast<int>(end - base < kTile ? end - base : kTile);
        __syncthreads();  // the tile before is done with
        if (g.lifted) {
            loadRows(g.keys, key_head, reader, base, count, kTile, latents, p.keys.width);
            loadRows(g.values, value_head, reader, base, count, kTile, values, value_width);
            __syncthreads();
            liftKeys<kTile>(g, tile.kv_head, base, count, latents, keys, pitch);
        } else {
            loadRows(g.keys, key_head, reader, base, count, kTile, keys, pitch);
            loadRows(g.values, value_head, reader, base, count, kTile, values, value_width);
        }
        __syncthreads();

        for (int r = warp; r < kRows; r += kWarps) {
            const std::int64_t last = query_position + tile.first_query + r / tile.heads, n = base + lane;
            const bool visible =
                r < tile.rows && lane < count && n <= last && (p.window == 0 || n > last - p.window);
            float score = -INFINITY;
            if (visible) {
                float dot = 0.0f;
                for (int i = 0; i < query_width; ++i)
                    dot += queries[r * query_width + i] * keys[lane * pitch + i];
                score = dot * p.scale;
                if (p.alibi_slopes)
                    score += p.alibi_slopes[tile.kv_head * g.group + tile.first_head + r % tile.heads] *
                             static_cast<float>(n - last);
            }
            float most = score;
            for (int step = 16; step > 0; step /= 2)
                most = fmaxf(most, __shfl_xor_sync(~0u, most, step));
            const float before = largest[r], after = fmaxf(before, most);
            const float weight = visible ? expf(score - after) : 0.0f;
            float sum = weight;
            for (int step = 16; step > 0; step /= 2)
                sum += __shfl_xor_sync(~0u, sum, step);
            if (lane < kTile)
                weights[r * kTile + lane] = weight;
            if (lane == 0) {
                // Nothing was seen yet: there is nothing to correct.
                const float factor = before == -INFINITY ? 0.0f : expf(before - after);
                correction[r] = factor;
                largest[r] = after;
                total[r] = total[r] * factor + sum;
            }
        }
        __syncthreads();

        for (int i = threadIdx.x; i < value_width; i += kBlock) {
            float output[kRows];
#pragma unroll
            for (int r = 0; r < kRows; ++r)
                output[r] = sums[r * value_width + i] * correction[r];
            for (int j = 0; j < count; ++j) {
                const float value = values[j * value_width + i];
#pragma unroll
                for (int r = 0; r < kRows; ++r)
                    output[r] += weights[r * kTile + j] * value;
            }
#pragma unroll
            for (int r = 0; r < kRows; ++r)
                sums[r * value_width + i] = output[r];
        }
    }
    __syncthreads();

    const std::int64_t all_rows = std::int64_t{1} * p.batch * p.query_length * p.query_heads;
    for (int r = warp; r < tile.rows; r += kWarps) {
        const std::int64_t row = rowIndex(r), place = blockIdx.y * all_rows + row;
        float* to = g.splits > 1 ? g.partials.output + place * value_width : p.output + row * value_width;
        const float scale = g.splits > 1 ? 1.0f : 1.0f / total[r];
        for (int i = lane; i < value_width; i += 32)
            to[i] = sums[r * value_width + i] * scale;
        if (g.splits > 1 && lane == 0) {
            g.partials.largest[place] = largest[r];
            g.partials.total[place] = total[r];
        }
    }
}

}  // namespace

void launchGeneralAttention(const AttentionParams& p, const AttentionPlan& plan,
                            const AttentionPartials& partials, cudaStream_t stream) {
    const GeneralTiles tiles{plan.tile_rows, plan.tile_positions};
    GeneralParams g;
    g.op = p;
    g.op.lift = nullptr;
    g.lifted = p.lift != nullptr;
    if (p.lift)
        g.lift = *p.lift;
    g.keys = cacheLayout(p.keys);
    g.values = cacheLayout(p.values);
    g.partials = partials;
    g.split_length = plan.split_length;
    g.splits = plan.splits;
    g.group = p.query_heads / p.kv_heads;
    g.head_tiles = (g.group + tiles.rows - 1) / tiles.rows;
    g.queries = generalQueriesPerTile(p, tiles);
    g.key_pitch = oddPitch(p.query_width);
    g.query_tiles = static_cast<unsigned>((p.query_length + g.queries - 1) / g.queries);
    const dim3 grid(static_cast<unsigned>(p.batch * p.kv_heads * g.head_tiles) * g.query_tiles,
                    static_cast<unsigned>(plan.splits));
    const auto kernel = tiles.rows == 16
                            ? (tiles.positions == 32 ? generalKernel<16, 32> : generalKernel<16, 8>)
                            : (tiles.positions == 32 ? generalKernel<4, 32> : generalKernel<4, 8>);
    launch("attention", kernel, grid, kBlock, generalSharedBytes(p, tiles), stream, g);
}

}  // namespace eigenscope::cuda
