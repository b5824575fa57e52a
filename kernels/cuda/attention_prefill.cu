// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/attention_prefill_call.cuh"

namespace eigenscope::cuda {

namespace {

constexpr float kLog2E = 1.4426950408889634f;

PrefillCache cacheOf(const AttentionParams& p, const KvView& v) {
    PrefillCache c;
    c.data = static_cast<const unsigned char*>(v.data);
    c.heads = v.heads, c.sharing = p.kv_heads / v.heads;
    c.width = v.width, c.bits = v.bits, c.group = v.group;
    c.row_bytes = static_cast<int>(kvRowBytes(v));
    c.data_stride = v.capacity * c.row_bytes;
    if (v.bits == 0)
        return c;
    c.scales = v.scales;
    c.scale_row = static_cast<int>(kvScaleStride(v));
    c.scale_stride = kvScaleRows(v) * c.scale_row;
    c.span = static_cast<int>(kvSpan(v)), c.recent = v.recent;
    c.by_token = v.grouping == KvGrouping::Token;
    if (kvNeedsRing(v)) {
        c.exact = static_cast<const unsigned char*>(v.exact);
        c.ring_rows = static_cast<int>(v.exact_capacity);
        c.exact_stride = v.exact_capacity * v.width * static_cast<std::int64_t>(sizeOf(v.dtype));
    }
    return c;
}

}  // namespace

void launchPrefillAttention(const AttentionParams& p, const AttentionPlan& plan,
                            const AttentionPartials& partials, cudaStream_t stream) {
    PrefillCall call;
    call.tiles = {plan.tile_rows, plan.tile_positions};
    call.shared = prefillShared(p, call.tiles);
    call.batch = p.batch, call.kv_heads = p.kv_heads, call.group = p.query_heads / p.kv_heads;
    call.query_length = p.query_length, call.query_position = static_cast<int>(p.query_position);
    call.query_width = p.query_width, call.window = p.window;
    call.rows = p.query_length * call.group;
    call.row_tiles = (call.rows + plan.tile_rows - 1) / plan.tile_rows;
    call.split_origin = static_cast<int>(prefillOrigin(p, call.tiles));
    call.split_length = static_cast<int>(plan.split_length);
    call.splits = plan.splits;
    call.scale = p.scale * kLog2E;
    call.query = p.query;
    call.alibi_slopes = p.alibi_slopes;
    call.keys = cacheOf(p, p.keys), call.values = cacheOf(p, p.values);
    if (p.lift) {
        call.basis = p.lift->basis, call.mean = p.lift->mean;
        call.cos = p.lift->table.cos, call.sin = p.lift->table.sin;
        call.rotary_half = p.lift->table.rotary_dim / 2;
    }
    call.output = p.output;
    call.partials = partials;
    const auto blocks = static_cast<unsigned>(std::int64_t{1} * call.row_tiles * p.kv_heads * p.batch);
    if (p.compute == Compute::F16)
        launchPrefillF16(call, blocks, stream);
    else
        launchPrefillBf16(call, blocks, stream);
}

}  // namespace eigenscope::cuda
