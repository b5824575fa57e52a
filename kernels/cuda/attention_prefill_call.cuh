// SPDX-License-Identifier: Apache-2.0
// What the prefill kernels are told: one struct by value, made from AttentionParams on the host.
#pragma once

#include "kernels/api/kv_layout.h"
#include "kernels/cuda/attention.h"
#include "kernels/cuda/attention_prefill.h"

namespace eigenscope::cuda {

// One side of the cache (kernels/api/ops.h, KvView). Head strides lead from head (b, h) to the next.
struct PrefillCache {
    const unsigned char* data = nullptr;             // rows, or their codes
    const unsigned char* exact = nullptr;            // the ring
    const void* scales = nullptr;                    // float16
    std::int64_t data_stride = 0, exact_stride = 0;  // bytes
    std::int64_t scale_stride = 0;                   // elements
    int heads = 1, sharing = 1;                      // sharing: key/value heads that read the same rows
    int width = 0, bits = 0, group = 32;
    int row_bytes = 0, scale_row = 0;         // scale_row: elements of a row's or group's scales and minima
    int span = 1, recent = 0, ring_rows = 0;  // ring_rows 0: no ring
    bool by_token = true;
};

struct PrefillCall {
    int batch = 1, kv_heads = 1, group = 1;  // group: query heads of a key/value head
    int query_length = 0, query_position = 0, query_width = 0, window = 0;
    int rows = 0, row_tiles = 0;  // rows of a key/value head (attention_prefill.h), and their tiles
    int split_origin = 0, split_length = 0, splits = 1;
    float scale = 1.0f;  // of scores as exponents of two
    const float* query = nullptr;
    const float* alibi_slopes = nullptr;
    PrefillCache keys, values;
    const float *basis = nullptr, *mean = nullptr, *cos = nullptr, *sin = nullptr;
    int rotary_half = 0;
    float* output = nullptr;
    AttentionPartials partials;
    PrefillTiles tiles;
    PrefillShared shared;
};

// One file each, for compile time. blocks: of one part of the sequence.
void launchPrefillF16(const PrefillCall& call, unsigned blocks, cudaStream_t stream);
void launchPrefillBf16(const PrefillCall& call, unsigned blocks, cudaStream_t stream);

}  // namespace eigenscope::cuda
