// SPDX-License-Identifier: Apache-2.0
// Decode attention on tensor cores: which kernel a call takes, where its shared memory lies, and the call as
// the kernels read it. Host code and plain data, without CUDA headers.
//
// A block owns a key/value head of a sequence and a part of the positions. Its warps are independent of each
// other until the end: each takes every n-th chunk of positions, copies their keys and values into memory of
// its own, keeps its own online softmax (arXiv 2205.14135), and at the end they are merged. Products are laid
// out with positions (scores) or value elements (outputs) as the 16 rows of an mma and queries as its 8
// columns, so that few queries waste little. With four or fewer queries the spare columns hold what rounding
// took from a query or a weight (x = high + low), so that only cached numbers are rounded.
#pragma once

#include "kernels/cuda/attention_plan.h"

namespace eigenscope::cuda {

inline constexpr int kDecodeRows = 16;  // queries times heads of a group that one block serves
inline constexpr int kDecodeLargestWidth = 256;

// One side of the cache. A position's row is row_bytes at data + stored head * head_bytes + t * row_bytes.
struct DecodeSide {
    const unsigned char* data = nullptr;
    const unsigned char* scales =
        nullptr;                           // float16: all scales of a row (or group of rows), then all minima
    const unsigned char* exact = nullptr;  // the ring's rows of 16-bit elements
    std::int64_t head_bytes = 0, scale_head_bytes = 0, exact_head_bytes = 0;
    int row_bytes = 0, scale_row_bytes = 0;
    int heads = 1, sharing = 1;  // stored heads; key/value heads that share one
    int width = 0, bits = 0, group = 8;
    int units = 0, unit_inverse = 0;  // eights of a row; i / units == i * unit_inverse >> 16 within a chunk
    int group_inverse = 65536;        // likewise for an eight's group
    bool ring = false;                // the last `recent` rows, and those of an unfinished span, are in it
    int recent = 0, span = 1;
    int ring_rows = 1;
    bool by_channel = false;
    bool float16 = false;  // 16-bit elements: float16, else bfloat16
};

// Which kernel. tiles: chunk / 16. key_steps: the lift's rank in sixteens, rounded up to what there is a
// kernel for; 0 without a lift. value_tiles likewise, the values' width. columns: eights of queries. convert:
// rows are copied as they lie and rewritten as 16-bit tiles (codes, another dtype, odd widths); else they are
// tiles.
struct DecodeKernel {
    int tiles = 1, key_steps = 0, value_tiles = 8, columns = 1;
    bool convert = false;
    int chunk() const { return 16 * tiles; }
};

// Offsets in bytes: in the block's shared memory, and within each warp's part of it. Pitches are odd
// multiples of 16 bytes, so that the eight rows of an ldmatrix lie in different banks.
struct DecodeMemory {
    int key_pitch = 0, value_pitch = 0;
    int queries = 0;    // without a lift: fragments, [steps, columns, 32] of 8 bytes; with one float32
    int basis = 0;      // [16 steps, key_pitch]
    int mean = 0;       // float32 [16 steps]
    int rotations = 0;  // float16, by which the rows of a chunk are rotated against its first
    int warps = 0;      // where the warps' parts begin

    int warp_bytes = 0;
    int keys = 0, values = 0;  // [slots, chunk, pitch]
    int fragments = 0;         // with a lift: the queries, turned back by the chunk's first position
    int angles = 0;            // with a lift: cosines and sines of that position, float32
    int key_rows = 0, key_scales = 0, value_rows = 0, value_scales = 0;  // convert: as they lie in the cache
    int angle_bytes = 0, raw_bytes = 0;                                  // of one slot of these
};

struct DecodeLayout {
    DecodeKernel kernel;
    DecodeMemory memory;
    int steps = 0;  // sixteens of the product of queries and keys
    int merge_bytes_of_warp = 0;
    std::size_t sharedBytes(int warps) const;
};

// Chunks in shared memory. Tiles: two on their way while one is computed with; latents are in registers
// before they are used, so that their place is free for the next, and the values' place is once they are
// summed. What is converted is copied two chunks ahead, to a single tile.
constexpr int decodeSlots(bool lifted, bool convert) { return lifted || convert ? 1 : 3; }

struct DecodeCall {
    DecodeKernel kernel;
    DecodeMemory memory;
    DecodeSide keys, values;
    AttentionPartials partials;
    const float* query = nullptr;
    float* output = nullptr;
    const float* alibi_slopes = nullptr;
    const float* basis = nullptr;  // the lift's, or null
    const float* mean = nullptr;
    const float* cos = nullptr;
    const float* sin = nullptr;
    int table_rows = 0;
    int rotary_half = 0, rotary_steps = 0;  // rotary_dim / 2, in eights
    int batch = 0, kv_heads = 0, group = 0, query_heads = 0, query_width = 0, query_length = 0;
    int rows = 0;        // queries that a block serves: query_length * group
    bool split = false;  // spare columns hold low parts
    int steps = 0, value_tiles = 0;
    int query_position = 0, window = 0;
    const std::int64_t* device_position = nullptr;  // or null; query_position is then the largest possible
    int origin = 0, split_length = 0, splits = 1;   // positions
    int warps = 0;
    std::size_t shared_bytes = 0;
    float scale = 1.0f;  // times log2(e)
};

// Nothing when the kernels have no shape for the call.
std::optional<DecodeLayout> decodeLayout(const AttentionParams& p);

// The first position of the first part: what the window hides is not read.
std::int64_t decodeOrigin(const AttentionParams& p, const DecodeKernel& kernel);

DecodeCall decodeCall(const AttentionParams& p, const AttentionPlan& plan, const AttentionPartials& partials);

}  // namespace eigenscope::cuda
