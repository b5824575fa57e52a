// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/kv_layout.h"
#include "kernels/cuda/attention_decode.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

namespace eigenscope::cuda {

namespace {

constexpr float kLog2E = 1.4426950408889634f;
constexpr std::size_t kReserved = 1024;  // bytes of shared memory that a block takes beside its own

// Positions are 32-bit numbers, some chunks behind the last one too.
constexpr std::int64_t kMostPositions = std::numeric_limits<std::int32_t>::max() - (std::int64_t{1} << 16);

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }
int roundedUp(int value, int multiple) { return (value + multiple - 1) / multiple * multiple; }
DType dtypeOf(Compute compute) { return compute == Compute::F16 ? DType::F16 : DType::BF16; }

// Copies are of 16 bytes, down to the multiple of 16 before a row.
bool takesSide(const AttentionParams& p, const KvView& v) {
    const bool numbers = v.bits == 0 || kvNeedsRing(v);
    if (v.width > kDecodeLargestWidth || !aligned(v.data) || (numbers && v.dtype == DType::F32))
        return false;
    // With a ring, the rows of several queries come from different places.
    return v.bits == 0 || (aligned(v.scales) && (p.query_length == 1 || !kvNeedsRing(v)));
}

bool takesLift(const AttentionParams& p) {
    if (!p.lift)
        return true;
    const RotaryTable& table = p.lift->table;
    return p.query_width <= kDecodeLargestWidth && table.rotary_dim % 16 == 0 &&
           (table.rotary_dim == 0 || (aligned(table.cos) && aligned(table.sin)));
}

bool takes(const AttentionParams& p) {
    return p.compute != Compute::F32 && p.query_length * (p.query_heads / p.kv_heads) <= kDecodeRows &&
           p.query_position + p.query_length < kMostPositions && takesSide(p, p.keys) &&
           takesSide(p, p.values) && takesLift(p);
}

DecodeKernel kernelFor(const AttentionParams& p) {
    const auto converts = [&](const KvView& v) {
        return v.bits != 0 || v.dtype != dtypeOf(p.compute) || v.width % 8 != 0;
    };
    DecodeKernel kernel;
    kernel.columns = p.query_length * (p.query_heads / p.kv_heads) <= 8 ? 1 : 2;
    kernel.convert = converts(p.keys) || converts(p.values);
    kernel.value_tiles = p.values.width <= 128 ? 8 : 16;
    kernel.tiles = kernel.convert ? 2 : 1;
    if (p.lift) {
        const int widest = std::max(p.keys.width, p.values.width);
        kernel.key_steps = widest <= 80 ? 5 : widest <= 128 ? 8 : 16;
        kernel.value_tiles = kernel.key_steps;
        // Positions that share a load of the basis, as many as registers hold.
        kernel.tiles = kernel.key_steps == 16                                            ? 1
                       : kernel.key_steps == 5 && kernel.columns == 1 && !kernel.convert ? 4
                                                                                         : 2;
    }
    return kernel;
}

// Half of the head dimension's rotated eights pair up as the two halves of a step (element i with i + half);
// the others follow in order.
int stepsFor(const AttentionParams& p) {
    if (!p.lift)
        return (p.query_width + 15) / 16;
    const int rotary = p.lift->table.rotary_dim;
    return rotary / 16 + (p.query_width - rotary + 15) / 16;
}

// As they lie in the cache: from the multiple of 16 bytes before the first to the one behind the last, and
// what the unpacking of the last eight reads beyond them.
int rawBytes(int bytes) { return roundedUp(bytes + 32, 16); }

int scaleRows(const KvView& v, int chunk) {
    if (v.grouping == KvGrouping::Token)
        return chunk;
    const int eights = v.group / 8;  // chunks and groups both begin at multiples of 8
    return (chunk / 8 + eights - 2) / eights + 1;
}

DecodeMemory memoryFor(const AttentionParams& p, const DecodeKernel& k, int steps) {
    const bool lifted = k.key_steps > 0;
    DecodeMemory m;
    m.key_pitch = (lifted ? k.key_steps : steps) * 32 + 16;
    m.value_pitch = roundedUp(p.values.width, 16) * 2 + 16;
    int at = 0;
    const auto take = [&](int bytes) { return std::exchange(at, at + roundedUp(bytes, 16)); };
    m.queries = take(steps * k.columns * (lifted ? 512 : 256));
    if (lifted) {
        m.basis = take(16 * steps * m.key_pitch);
        m.mean = take(16 * steps * 4);
        m.rotations = take(steps * k.chunk() * 32);
    }
    m.warps = roundedUp(at, 128);
    at = 0;
    m.keys = take(decodeSlots(lifted, k.convert) * k.chunk() * m.key_pitch);
    m.values = take(decodeSlots(lifted, k.convert) * k.chunk() * m.value_pitch);
    const int slots = k.convert ? 2 : 1;
    if (lifted) {
        m.fragments = take(steps * k.columns * 256);
        m.angle_bytes = p.lift->table.rotary_dim * 4;
        m.angles = take(slots * m.angle_bytes);
    }
    if (k.convert) {
        const int begin = at;
        const auto takeRows = [&](const KvView& v) {
            return take(rawBytes(k.chunk() * static_cast<int>(kvRowBytes(v))));
        };
        const auto takeScales = [&](const KvView& v) {
            return v.bits == 0
                       ? at
                       : take(rawBytes(scaleRows(v, k.chunk()) * static_cast<int>(kvScaleStride(v)) * 2));
        };
        m.key_rows = takeRows(p.keys), m.key_scales = takeScales(p.keys);
        m.value_rows = takeRows(p.values), m.value_scales = takeScales(p.values);
        m.raw_bytes = at - begin;
        at += (slots - 1) * m.raw_bytes;
    }
    m.warp_bytes = roundedUp(at, 128);
    return m;
}

DecodeSide sideOf(const AttentionParams& p, const KvView& v) {
    DecodeSide side;
    side.data = static_cast<const unsigned char*>(v.data);
    side.row_bytes = static_cast<int>(kvRowBytes(v));
    side.head_bytes = v.capacity * side.row_bytes;
    side.heads = v.heads, side.sharing = p.kv_heads / v.heads;
    side.width = v.width, side.bits = v.bits;
    side.units = (v.width + 7) / 8;
    side.unit_inverse = (65536 + side.units - 1) / side.units;
    side.float16 = v.dtype == DType::F16;
    if (v.bits == 0)
        return side;
    side.group = v.group;
    side.group_inverse = (65536 + v.group / 8 - 1) / (v.group / 8);
    side.by_channel = v.grouping == KvGrouping::Channel;
    side.scales = static_cast<const unsigned char*>(v.scales);
    side.scale_row_bytes = static_cast<int>(kvScaleStride(v)) * 2;
    side.scale_head_bytes = kvScaleRows(v) * side.scale_row_bytes;
    if (kvNeedsRing(v)) {
        side.ring = true, side.recent = v.recent, side.span = static_cast<int>(kvSpan(v));
        side.exact = static_cast<const unsigned char*>(v.exact);
        side.ring_rows = static_cast<int>(v.exact_capacity);
        side.exact_head_bytes = v.exact_capacity * v.width * 2;
    }
    return side;
}

// A part's merge of its warps and its partial results, in the unit of costOf().
constexpr double kPart = 32.0;

// How long a multiprocessor is busy, in positions of one head: its share of the parts, and what a part costs
// beside its positions. Guesses in the order of what such kernels take, to choose between plans alone.
double costOf(std::int64_t share, std::int64_t length, int warps, const DecodeLayout& layout,
              std::int64_t by_shared, bool merged) {
    // A launch of its own, of the order of 2 us: about as long as 130 positions of 512 bytes.
    constexpr double kMerge = 128.0;
    // Until the first products of blocks that start together; with a lift the basis and rotations come first.
    const double begin = layout.kernel.key_steps > 0 ? 192.0 : 64.0;
    constexpr int kEnoughWarps = 8;  // to hide one another's latencies
    const std::int64_t resident =
        std::clamp<std::int64_t>(by_shared, 1, std::max(1, 2 * kEnoughWarps / warps));
    const double together = static_cast<double>(std::min(share, resident) * warps);
    const double idle = together < kEnoughWarps ? 0.25 * (kEnoughWarps - together) / kEnoughWarps : 0.0;
    return static_cast<double>(share) * (static_cast<double>(length) * (1.0 + idle) + kPart) +
           begin * static_cast<double>((share + resident - 1) / resident) + (merged ? kMerge : 0.0);
}

}  // namespace

std::size_t DecodeLayout::sharedBytes(int warps) const {
    return static_cast<std::size_t>(memory.warps + warps * std::max(memory.warp_bytes, merge_bytes_of_warp));
}

std::optional<DecodeLayout> decodeLayout(const AttentionParams& p) {
    if (!takes(p))
        return std::nullopt;
    DecodeLayout layout;
    layout.kernel = kernelFor(p);
    layout.steps = stepsFor(p);
    layout.memory = memoryFor(p, layout.kernel, layout.steps);
    // float32 outputs of the columns, their largest scores and sums (mergeWarps()).
    layout.merge_bytes_of_warp = 8 * layout.kernel.columns * (roundedUp(p.values.width, 16) + 6) * 4;
    return layout;
}

std::int64_t decodeOrigin(const AttentionParams& p, const DecodeKernel& kernel) {
    if (p.window == 0)
        return 0;
    return std::max<std::int64_t>(0, p.query_position - p.window + 1) / kernel.chunk() * kernel.chunk();
}

std::optional<AttentionPlan> planDecode(const AttentionParams& p, const DeviceLimits& limits) {
    const std::optional<DecodeLayout> layout = decodeLayout(p);
    if (!layout)
        return std::nullopt;
    constexpr std::int64_t kMaxSplits = 256;
    std::int64_t positions = p.query_position + p.query_length - decodeOrigin(p, layout->kernel);
    // A window's first chunk depends on the position: one that is not known yet may see a chunk more.
    if (p.device_position && p.window > 0)
        positions = std::min<std::int64_t>(p.query_position + p.query_length,
                                           p.window + p.query_length + layout->kernel.chunk() - 2);
    const std::int64_t heads = std::int64_t{1} * p.batch * p.kv_heads;
    const double no_less = static_cast<double>(heads * positions) / limits.multiprocessors;
    AttentionPlan best;
    double least = std::numeric_limits<double>::infinity();
    for (const int warps : {4, 8, 7, 6, 5, 3, 2, 1}) {
        // Fewer than four warps only where shared memory is short.
        if (layout->sharedBytes(warps) > limits.shared_bytes || (warps < 4 && best.tile_positions != 0))
            continue;
        const std::int64_t tile = warps * layout->kernel.chunk(), tiles = (positions + tile - 1) / tile;
        const std::int64_t most = std::min(kMaxSplits, tiles);
        const auto by_shared = static_cast<std::int64_t>((limits.shared_bytes + kReserved) /
                                                         (layout->sharedBytes(warps) + kReserved));
        // From one length of a part to the next shorter one: of several numbers of parts that give the same
        // length, the first stands for all.
        for (std::int64_t wanted = 1, of_part = tiles; wanted <= most;
             wanted = of_part > 1 ? (tiles + of_part - 2) / (of_part - 1) : most + 1) {
            of_part = (tiles + wanted - 1) / wanted;
            const std::int64_t length = of_part * tile;
            const std::int64_t splits = (positions + length - 1) / length;
            const std::int64_t share = (heads * splits + limits.multiprocessors - 1) / limits.multiprocessors;
            if (no_less + static_cast<double>(share) * kPart >= least)
                break;  // more parts cost more still
            const double cost = costOf(share, length, warps, *layout, by_shared, splits > 1);
            if (cost < least) {
                least = cost;
                best.splits = static_cast<int>(splits), best.split_length = length;
                best.tile_positions = static_cast<int>(tile);
            }
        }
    }
    if (best.tile_positions == 0)
        return std::nullopt;
    best.path = AttentionPath::Decode;
    best.tile_rows = 8 * layout->kernel.columns;
    best.scratch_bytes = best.splits > 1 ? partialBytes(p, best.splits) : 0;
    return best;
}

DecodeCall decodeCall(const AttentionParams& p, const AttentionPlan& plan,
                      const AttentionPartials& partials) {
    const DecodeLayout layout = *decodeLayout(p);
    DecodeCall call;
    call.kernel = layout.kernel, call.memory = layout.memory, call.steps = layout.steps;
    call.keys = sideOf(p, p.keys), call.values = sideOf(p, p.values);
    call.partials = partials;
    call.query = p.query, call.output = p.output, call.alibi_slopes = p.alibi_slopes;
    if (p.lift) {
        const RotaryTable& table = p.lift->table;
        call.basis = p.lift->basis, call.mean = p.lift->mean;
        call.cos = table.cos, call.sin = table.sin;
        call.table_rows = static_cast<int>(std::min<std::int64_t>(table.positions, kDecodeLargestWidth));
        call.rotary_half = table.rotary_dim / 2, call.rotary_steps = table.rotary_dim / 16;
    }
    call.batch = p.batch, call.kv_heads = p.kv_heads, call.query_heads = p.query_heads;
    call.group = p.query_heads / p.kv_heads;
    call.query_width = p.query_width, call.query_length = p.query_length;
    call.rows = p.query_length * call.group;
    call.split = call.rows <= 4;
    call.value_tiles = (p.values.width + 15) / 16;
    call.query_position = static_cast<int>(p.query_position), call.window = p.window;
    call.device_position = p.device_position;
    call.origin = static_cast<int>(decodeOrigin(p, layout.kernel));
    call.split_length = static_cast<int>(plan.split_length), call.splits = plan.splits;
    call.warps = plan.tile_positions / layout.kernel.chunk();
    call.shared_bytes = layout.sharedBytes(call.warps);
    call.scale = p.scale * kLog2E;
    return call;
}

}  // namespace eigenscope::cuda
