// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/kv_layout.h"
#include "kernels/cuda/attention_prefill.h"

#include <algorithm>

namespace eigenscope::cuda {

namespace {

constexpr int kLargestWidth = 256;
constexpr std::int64_t kMostPositions = 1 << 30;  // positions and rows of a head are 32-bit numbers
constexpr std::int64_t kLeastPart = 256;  // positions; a shorter part costs more to merge than it saves
constexpr int kMaxSplits = 64;

bool aligned(const void* pointer, std::uintptr_t bytes) {
    return reinterpret_cast<std::uintptr_t>(pointer) % bytes == 0;
}

// Rows are copied 16 bytes at a time as they are, or unpacked eight codes at a time.
bool takesCache(const KvView& v, DType dtype) {
    if (v.width % 8 != 0 || v.width > kLargestWidth || !aligned(v.data, v.bits == 0 ? 16 : 8))
        return false;
    if (v.bits == 0)
        return v.dtype == dtype;
    return aligned(v.scales, 16) && (!kvNeedsRing(v) || (v.dtype == dtype && aligned(v.exact, 16)));
}

bool takesLift(const AttentionParams& p) {
    const RotaryTable& table = p.lift->table;
    return p.query_width % 8 == 0 && p.query_width <= kLargestWidth && table.rotary_dim % 16 == 0 &&
           aligned(p.lift->basis, 16) && aligned(table.cos, 8) && aligned(table.sin, 8);
}

int rowsOf(const AttentionParams& p) { return p.query_length * (p.query_heads / p.kv_heads); }

// Parts of the sequence that fill a device which the row tiles alone would leave idle by half or more.
int splitsFor(const AttentionParams& p, const PrefillTiles& tiles, const DeviceLimits& limits) {
    constexpr std::size_t kReserved = 1024;  // of shared memory, for each block
    const std::int64_t bytes = prefillShared(p, tiles).bytes;
    const std::int64_t by_shared =
        static_cast<std::int64_t>(limits.shared_bytes + kReserved) / (bytes + std::int64_t{kReserved});
    const std::int64_t by_registers = 256 / tiles.threads();  // about 255 a thread
    const std::int64_t resident =
        limits.multiprocessors * std::max<std::int64_t>(1, std::min(by_shared, by_registers));
    const std::int64_t row_tiles = (rowsOf(p) + tiles.rows - 1) / tiles.rows;
    const std::int64_t blocks = row_tiles * p.kv_heads * p.batch;
    const std::int64_t positions = p.query_position + p.query_length - prefillOrigin(p, tiles);
    return static_cast<int>(
        std::clamp<std::int64_t>(std::min(resident / blocks, positions / kLeastPart), 1, kMaxSplits));
}

}  // namespace

PrefillShared prefillShared(const AttentionParams& p, const PrefillTiles& tiles) {
    PrefillShared s;
    s.query_pitch = paddedWidth(p.query_width) + 8;
    s.value_pitch = paddedWidth(p.values.width) + 8;
    s.latent_pitch = p.lift ? paddedWidth(p.keys.width) + 8 : 0;
    const auto take = [&](int bytes) {
        const int at = s.bytes;
        s.bytes += bytes;
        return at;
    };
    take(kPrefillHeaderBytes);
    s.rows = take(kPrefillRowBytes * tiles.rows);
    s.queries = take(2 * tiles.rows * s.query_pitch);
    s.keys = take(2 * 2 * tiles.positions * s.query_pitch);
    s.values = take(2 * 2 * tiles.positions * s.value_pitch);
    if (p.lift) {
        s.latents = take(2 * 2 * tiles.positions * s.latent_pitch);
        s.basis = take(2 * paddedWidth(p.query_width) * s.latent_pitch);
        s.mean = take(4 * paddedWidth(p.query_width));
    }
    return s;
}

std::optional<PrefillTiles> prefillTiles(const AttentionParams& p, const DeviceLimits& limits) {
    // Lifting a key tile costs rank / (2 rows) of multiplying it, so lifted keys want many rows; without a
    // lift two blocks of 128 rows keep a multiprocessor busier than one of 256.
    for (const PrefillTiles tiles :
         {PrefillTiles{256, 64}, PrefillTiles{128, 64}, PrefillTiles{128, 32}, PrefillTiles{64, 32}}) {
        if (tiles.rows == 256 && (!p.lift || rowsOf(p) <= 128))
            continue;
        if (tiles.positions == 64 && p.values.width > 128)
            continue;
        if (static_cast<std::size_t>(prefillShared(p, tiles).bytes) <= limits.shared_bytes)
            return tiles;
    }
    return std::nullopt;
}

std::optional<AttentionPlan> planPrefill(const AttentionParams& p, const DeviceLimits& limits) {
    if (p.compute == Compute::F32 || p.device_position)  // steps of one token are no tiles of queries
        return std::nullopt;
    const DType dtype = p.compute == Compute::F16 ? DType::F16 : DType::BF16;
    if (!takesCache(p.keys, dtype) || !takesCache(p.values, dtype) || (p.lift && !takesLift(p)) ||
        !aligned(p.query, 16) || !aligned(p.output, 8))
        return std::nullopt;
    const std::int64_t group = p.query_heads / p.kv_heads;
    if (p.query_position + p.query_length > kMostPositions || p.query_length * group > kMostPositions)
        return std::nullopt;
    const std::optional<PrefillTiles> tiles = prefillTiles(p, limits);
    if (!tiles)
        return std::nullopt;
    AttentionPlan plan;
    plan.path = AttentionPath::Prefill;
    plan.tile_rows = tiles->rows, plan.tile_positions = tiles->positions;
    const std::int64_t positions = p.query_position + p.query_length - prefillOrigin(p, *tiles);
    const int wanted = splitsFor(p, *tiles, limits);
    const std::int64_t of_tiles = (positions + tiles->positions - 1) / tiles->positions;
    plan.split_length = (of_tiles + wanted - 1) / wanted * tiles->positions;
    plan.splits = static_cast<int>((positions + plan.split_length - 1) / plan.split_length);
    plan.scratch_bytes = plan.splits > 1 ? partialBytes(p, plan.splits) : 0;
    return plan;
}

}  // namespace eigenscope::cuda
