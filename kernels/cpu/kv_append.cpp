// SPDX-License-Identifier: Apache-2.0
// The kvAppend op: rows into a dense cache, or into codes and the ring of exact rows.
#include "kernels/api/kv_layout.h"
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/parallel.h"

#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/kv_append.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

// codes[i] = the code of x[i], for elements that share a scale. The same operations as kvCode().
HWY_INLINE void codeElements(const float* x, std::int64_t count, Float scale, Float minimum, Float most,
                             std::int32_t* codes) {
    const hn::RebindToSigned<FloatTag> integers;
    const Float zero = hn::Zero(kF);
    const auto usable = hn::Gt(scale, zero);
    const auto code = [&](Float v) {
        const Float q = hn::Div(hn::Sub(v, minimum), scale);
        return hn::NearestInt(hn::IfThenElseZero(usable, hn::Min(hn::Max(q, zero), most)));
    };
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        hn::StoreU(code(F32::load(x + i)), integers, codes + i);
    if (i < count)  // the room of codes is a multiple of a vector
        hn::StoreU(code(F32::loadN(x + i, count - i)), integers, codes + i);
}

// A group's scale, and its elements' codes.
KvScale CodeGroup(const float* x, std::int64_t count, int bits, std::int32_t* codes) {
    Float least = hn::Set(kF, x[0]), most = least, probe = hn::Zero(kF);  // probe: NaN once one is not finite
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes) {
        const Float v = F32::load(x + i);
        least = hn::Min(least, v);
        most = hn::Max(most, v);
        probe = hn::MulAdd(v, hn::Zero(kF), probe);
    }
    float low = hn::GetLane(hn::MinOfLanes(kF, least)), high = hn::GetLane(hn::MaxOfLanes(kF, most));
    float rest = sum(probe);
    for (; i < count; ++i) {
        low = std::min(low, x[i]);
        high = std::max(high, x[i]);
        rest += 0.0f * x[i];
    }
    const KvScale scale = kvScaleOf(low, high, rest == 0.0f, bits);
    codeElements(x, count, hn::Set(kF, fromF16(scale.scale)), hn::Set(kF, fromF16(scale.minimum)),
                 hn::Set(kF, static_cast<float>((1 << bits) - 1)), codes);
    return scale;
}

// The same where each element has a scale and minimum of its own.
void CodeRow(const float* x, const float* scales, const float* minima, std::int64_t count, int bits,
             std::int32_t* codes) {
    for (std::int64_t i = 0; i < count; i += kLanes) {
        const std::int64_t n = std::min(kLanes, count - i);
        codeElements(x + i, n, F32::loadN(scales + i, n), F32::loadN(minima + i, n),
                     hn::Set(kF, static_cast<float>((1 << bits) - 1)), codes + i);
    }
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eigenscope::cpu {
namespace {

HWY_EXPORT(CodeGroup);
HWY_EXPORT(CodeRow);

constexpr std::int64_t kGrain = 16384;     // elements copied that are worth a thread
constexpr std::int64_t kCodeGrain = 4096;  // elements quantised that are worth a thread
constexpr std::int64_t kCodeSlack = 16;    // lanes of the widest vector

// Eight codes fill as many bytes as a code has bits.
template <int kBits>
void packEights(const std::int32_t* codes, std::int64_t count, std::uint8_t* to) {
    std::int64_t i = 0;
    for (; i + 8 <= count; i += 8, to += kBits) {
        std::uint64_t word = 0;
        for (int lane = 0; lane < 8; ++lane)
            word |= static_cast<std::uint64_t>(codes[i + lane]) << (lane * kBits);
        std::memcpy(to, &word, kBits);
    }
    if (i == count)
        return;
    std::uint64_t word = 0;
    for (int lane = 0; i + lane < count; ++lane)
        word |= static_cast<std::uint64_t>(codes[i + lane]) << (lane * kBits);
    std::memcpy(to, &word, static_cast<std::size_t>(((count - i) * kBits + 7) / 8));
}

// Codes without gaps, from the lowest bit of the first byte; bits past the last one are zero.
void packCodes(const std::int32_t* codes, std::int64_t count, int bits, std::uint8_t* to) {
    switch (bits) {
        case 8:
            packEights<8>(codes, count, to);
            break;
        case 4:
            packEights<4>(codes, count, to);
            break;
        case 3:
            packEights<3>(codes, count, to);
            break;
        default:
            packEights<2>(codes, count, to);
            break;
    }
}

struct Range {
    float least = std::numeric_limits<float>::infinity(), most = -least;
    float probe = 0.0f;  // 0 * x: NaN once an element is not finite
    void add(float x) {
        least = std::min(least, x);
        most = std::max(most, x);
        probe += 0.0f * x;
    }
    KvScale scale(int bits) const { return kvScaleOf(least, most, probe == 0.0f, bits); }
};

std::uint16_t* scalesOf(const KvView& v, std::int64_t head, std::int64_t row) {
    return static_cast<std::uint16_t*>(v.scales) + (head * kvScaleRows(v) + row) * kvScaleStride(v);
}
std::uint8_t* codesOf(const KvView& v, std::int64_t head, std::int64_t t) {
    return static_cast<std::uint8_t*>(v.data) + (head * v.capacity + t) * kvRowBytes(v);
}
std::byte* elementsOf(void* data, const KvView& v, std::int64_t row) {
    return static_cast<std::byte*>(data) + row * v.width * static_cast<std::int64_t>(sizeOf(v.dtype));
}

// codes: room for the width and a vector more.
void quantiseRow(const KvView& v, std::int64_t head, std::int64_t t, const float* x, std::int32_t* codes) {
    const std::int64_t groups = kvGroupsOfRow(v);
    std::uint16_t* scales = scalesOf(v, head, t);
    for (std::int64_t g = 0; g < groups; ++g) {
        const std::int64_t begin = g * v.group, end = std::min<std::int64_t>(begin + v.group, v.width);
        const KvScale scale = HWY_DYNAMIC_DISPATCH(CodeGroup)(x + begin, end - begin, v.bits, codes + begin);
        scales[g] = scale.scale;
        scales[groups + g] = scale.minimum;
    }
    packCodes(codes, v.width, v.bits, codesOf(v, head, t));
}

// Scratch of a thread that quantises groups of positions.
struct ChannelScratch {
    float *row, *scales, *minima;  // [width] each
    Range* ranges;                 // [width]
    std::int32_t* codes;           // [width + kCodeSlack]
};

// Positions [g * group, (g + 1) * group) of one head, from the ring.
void quantisePositions(const KvView& v, std::int64_t head, std::int64_t g, const ChannelScratch& s) {
    const auto load = [&](std::int64_t n) {
        const std::int64_t t = (g * v.group + n) % v.exact_capacity;
        convertRow(elementsOf(v.exact, v, head * v.exact_capacity + t), v.dtype, s.row, DType::F32, v.width);
    };
    std::fill(s.ranges, s.ranges + v.width, Range{});
    for (std::int64_t n = 0; n < v.group; ++n) {
        load(n);
        for (std::int64_t i = 0; i < v.width; ++i)
            s.ranges[i].add(s.row[i]);
    }
    std::uint16_t* scales = scalesOf(v, head, g);
    for (std::int64_t i = 0; i < v.width; ++i) {
        const KvScale scale = s.ranges[i].scale(v.bits);
        scales[i] = scale.scale;
        scales[v.width + i] = scale.minimum;
        s.scales[i] = fromF16(scale.scale);
        s.minima[i] = fromF16(scale.minimum);
    }
    for (std::int64_t n = 0; n < v.group; ++n) {
        load(n);
        HWY_DYNAMIC_DISPATCH(CodeRow)(s.row, s.scales, s.minima, v.width, v.bits, s.codes);
        packCodes(s.codes, v.width, v.bits, codesOf(v, head, g * v.group + n));
    }
}

// Every row of x into `data`, dtype elements, row t of a head at t % capacity.
void copyRows(CpuStream& stream, const KvAppendParams& p, void* data, std::int64_t capacity) {
    const KvView& c = p.cache;
    const std::int64_t rows = std::int64_t{c.batch} * p.length * c.heads;  // in the order of x
    parallelRanges(
        stream.threads(), rows, kGrain / c.width + 1, [&](std::int64_t begin, std::int64_t end, int) {
            for (std::int64_t row = begin; row < end; ++row) {
                const std::int64_t h = row % c.heads, bt = row / c.heads, t = bt % p.length,
                                   b = bt / p.length;
                const std::int64_t to = (b * c.heads + h) * capacity + (p.position + t) % capacity;
                convertRow(p.x + row * c.width, DType::F32, elementsOf(data, c, to), c.dtype, c.width);
            }
        });
}

void appendByToken(CpuStream& stream, const KvAppendParams& p) {
    const KvView& c = p.cache;
    const std::int64_t room = c.width + kCodeSlack;
    auto* codes = stream.arena().take<std::int32_t>(room * stream.threads());
    const std::int64_t rows = std::int64_t{c.batch} * p.length * c.heads;
    parallelRanges(stream.threads(), rows, kCodeGrain / c.width + 1,
                   [&](std::int64_t begin, std::int64_t end, int thread) {
                       for (std::int64_t row = begin; row < end; ++row) {
                           const std::int64_t h = row % c.heads, bt = row / c.heads;
                           quantiseRow(c, bt / p.length * c.heads + h, p.position + bt % p.length,
                                       p.x + row * c.width, codes + thread * room);
                       }
                   });
}

void appendByChannel(CpuStream& stream, const KvAppendParams& p) {
    const KvView& c = p.cache;
    const std::int64_t first = p.position / c.group, groups = (p.position + p.length) / c.group - first;
    const std::int64_t width = c.width, tasks = std::int64_t{c.batch} * c.heads * groups;
    if (tasks == 0)
        return;
    const int threads = stream.threads();
    auto* floats = stream.arena().take<float>(3 * width * threads);
    auto* ranges = stream.arena().take<Range>(width * threads);
    auto* codes = stream.arena().take<std::int32_t>((width + kCodeSlack) * threads);
    parallelRanges(threads, tasks, kCodeGrain / (width * c.group) + 1,
                   [&](std::int64_t begin, std::int64_t end, int thread) {
                       float* row = floats + 3 * width * thread;
                       const ChannelScratch scratch{row, row + width, row + 2 * width,
                                                    ranges + width * thread,
                                                    codes + (width + kCodeSlack) * thread};
                       for (std::int64_t task = begin; task < end; ++task)
                           quantisePositions(c, task / groups, first + task % groups, scratch);
                   });
}

}  // namespace

void kvAppend(CpuStream& stream, const KvAppendParams& p) {
    stream.arena().reset();
    const KvView& c = p.cache;
    if (p.length == 0 || c.batch == 0)
        return;
    if (c.bits == 0) {
        copyRows(stream, p, c.data, c.capacity);
        return;
    }
    if (kvNeedsRing(c))
        copyRows(stream, p, c.exact, c.exact_capacity);
    if (c.grouping == KvGrouping::Token)
        appendByToken(stream, p);
    else
        appendByChannel(stream, p);
}

}  // namespace eigenscope::cpu
#endif
