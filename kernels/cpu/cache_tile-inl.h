// SPDX-License-Identifier: Apache-2.0
// Rows of a quantised cache as float32, for each instruction set: codes are unpacked in registers and scaled
// into a tile that stays in L1 or L2, so memory is read in the cache's own few bits.

#if defined(EIGENSCOPE_CPU_CACHE_TILE_INL_H) == defined(HWY_TARGET_TOGGLE)
#ifdef EIGENSCOPE_CPU_CACHE_TILE_INL_H
#undef EIGENSCOPE_CPU_CACHE_TILE_INL_H
#else
#define EIGENSCOPE_CPU_CACHE_TILE_INL_H
#endif

#include "kernels/api/kv_layout.h"
#include "kernels/cpu/attention_plan.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

// Loads kLanes codes of kBits each that begin at bit `bit` of a row, a multiple of 8 bits when kLanes >= 8,
// as float32. Bytes from `end` on are not touched; codes there come out as anything.
template <int kBits>
class CodeReader {
public:
    explicit CodeReader(const std::uint8_t* end) : m_end(end) {
#if HWY_TARGET != HWY_SCALAR
        if constexpr (kBits < 8 && kLanes >= 8) {
            HWY_ALIGN std::uint8_t bytes[4 * kLanes];
            HWY_ALIGN std::uint32_t shifts[kLanes];
            for (std::int64_t lane = 0; lane < kLanes; ++lane) {
                const auto at = static_cast<std::uint8_t>(lane * kBits / 8);
                bytes[4 * lane] = at;
                bytes[4 * lane + 1] = static_cast<std::uint8_t>(at + 1);
                bytes[4 * lane + 2] = bytes[4 * lane + 3] = 0x80;  // gives zero
                shifts[lane] = static_cast<std::uint32_t>(lane * kBits % 8);
            }
            m_bytes = hn::Load(ByteTag{}, bytes);
            m_shifts = hn::Load(BitsTag{}, shifts);
        }
#endif
    }

    // kInside: 8 bytes and kLanes codes from there on lie before `end`.
    template <bool kInside = false>
    HWY_INLINE Float load(const std::uint8_t* row, std::int64_t bit) const {
        const std::uint8_t* p = row + bit / 8;
#if HWY_TARGET != HWY_SCALAR
        if constexpr (kBits == 8) {
            const hn::Rebind<std::uint8_t, FloatTag> narrow;
            const hn::Rebind<std::int32_t, FloatTag> wide;
            if (kInside || m_end - p >= kLanes)
                return hn::ConvertTo(kF, hn::PromoteTo(wide, hn::LoadU(narrow, p)));
            HWY_ALIGN std::uint8_t rest[kLanes] = {};
            std::memcpy(rest, p, static_cast<std::size_t>(m_end - p));
            return hn::ConvertTo(kF, hn::PromoteTo(wide, hn::Load(narrow, rest)));
        } else if constexpr (kLanes >= 8) {
            // Each lane picks the two bytes that hold its code from the word, repeated over the vector.
            const hn::RepartitionToWide<BitsTag> words;
            const auto bytes = hn::BitCast(ByteTag{}, hn::Set(words, word<kInside>(p)));
            const Bits picked = hn::BitCast(BitsTag{}, hn::TableLookupBytesOr0(bytes, m_bytes));
            const Bits codes = hn::And(hn::Shr(picked, m_shifts), hn::Set(BitsTag{}, (1u << kBits) - 1));
            return hn::ConvertTo(kF, hn::BitCast(hn::RebindToSigned<FloatTag>{}, codes));
        }
#endif
        HWY_ALIGN float codes[kLanes];
        std::uint64_t bits = word<kInside>(p) >> (bit % 8);
        for (std::int64_t lane = 0; lane < kLanes; ++lane, bits >>= kBits)
            codes[lane] = static_cast<float>(bits & ((1u << kBits) - 1));
        return hn::Load(kF, codes);
    }

private:
#if HWY_TARGET != HWY_SCALAR
    using ByteTag = hn::Repartition<std::uint8_t, FloatTag>;
#endif

    template <bool kInside>
    HWY_INLINE std::uint64_t word(const std::uint8_t* p) const {
        std::uint64_t word = 0;
        if (kInside || m_end - p >= 8)
            std::memcpy(&word, p, 8);
        else
            std::memcpy(&word, p, static_cast<std::size_t>(m_end - p));
        return word;
    }

    const std::uint8_t* m_end;
#if HWY_TARGET != HWY_SCALAR
    hn::Vec<ByteTag> m_bytes;
    Bits m_shifts;
#endif
};

// to[0, count) = float16 from[0, count) as float32.
inline void widenScales(const std::uint16_t* from, std::int64_t count, float* to) {
    using Half = Element<DType::F16>;
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        F32::store(Half::load(from + i), to + i);
    if (i < count)
        F32::storeN(Half::loadN(from + i, count - i), to + i, count - i);
}

// One head of a quantised view.
struct CodedHead {
    CodedHead(const KvView& v, std::int64_t head)
        : row_bytes(kvRowBytes(v)),
          scale_stride(kvScaleStride(v)),
          codes(static_cast<const std::uint8_t*>(v.data) + head * v.capacity * row_bytes),
          end(codes + v.capacity * row_bytes),
          scales(static_cast<const std::uint16_t*>(v.scales) + head * kvScaleRows(v) * scale_stride) {}
    std::int64_t row_bytes, scale_stride;
    const std::uint8_t *codes, *end;
    const std::uint16_t* scales;
};

// Bytes after a row that a vector load of its codes may touch.
inline constexpr std::int64_t kOverread = 64;

template <int kBits, bool kInside>
HWY_INLINE void rowByToken(const CodeReader<kBits>& reader, const std::uint8_t* row, const float* scales,
                           std::int64_t groups, std::int64_t group, std::int64_t width, float* to) {
    for (std::int64_t g = 0; g < groups; ++g) {
        const Float scale = hn::Set(kF, scales[g]), minimum = hn::Set(kF, scales[groups + g]);
        const std::int64_t end = std::min((g + 1) * group, width);
        std::int64_t i = g * group;
        for (; i + 2 * kLanes <= end; i += 2 * kLanes) {
            const Float a = reader.template load<kInside>(row, i * kBits);
            const Float b = reader.template load<kInside>(row, (i + kLanes) * kBits);
            F32::store(hn::MulAdd(a, scale, minimum), to + i);
            F32::store(hn::MulAdd(b, scale, minimum), to + i + kLanes);
        }
        for (; i < end; i += kLanes)
            F32::store(hn::MulAdd(reader.template load<kInside>(row, i * kBits), scale, minimum), to + i);
    }
}

template <int kBits>
void tileByToken(const KvView& v, const CodedHead& h, std::int64_t first, std::int64_t count,
                 const CacheTile& tile) {
    const std::int64_t groups = h.scale_stride / 2;
    widenScales(h.scales + first * h.scale_stride, count * h.scale_stride, tile.scales);
    const CodeReader<kBits> reader(h.end);
    const std::int64_t width = v.width, group = v.group, pad = tile.pad;
    for (std::int64_t n = 0; n < count; ++n) {
        const std::uint8_t* row = h.codes + (first + n) * h.row_bytes;
        const float* scales = tile.scales + n * h.scale_stride;
        float* to = tile.rows + n * pad;
        if (h.end - row >= h.row_bytes + kOverread)
            rowByToken<kBits, true>(reader, row, scales, groups, group, width, to);
        else
            rowByToken<kBits, false>(reader, row, scales, groups, group, width, to);
        for (std::int64_t i = width; i < pad; ++i)
            to[i] = 0.0f;
    }
}

template <int kBits>
void tileByChannel(const KvView& v, const CodedHead& h, std::int64_t first, std::int64_t count,
                   const CacheTile& tile) {
    const CodeReader<kBits> reader(h.end);
    float *scales = tile.scales, *minima = tile.scales + tile.pad;
    for (std::int64_t n = 0; n < count;) {
        const std::int64_t g = (first + n) / v.group, last = std::min(count, (g + 1) * v.group - first);
        widenScales(h.scales + g * h.scale_stride, v.width, scales);
        widenScales(h.scales + g * h.scale_stride + v.width, v.width, minima);
        for (; n < last; ++n) {
            const std::uint8_t* row = h.codes + (first + n) * h.row_bytes;
            float* to = tile.rows + n * tile.pad;
            for (std::int64_t i = 0; i < v.width; i += kLanes)
                F32::store(
                    hn::MulAdd(reader.load(row, i * kBits), F32::load(scales + i), F32::load(minima + i)),
                    to + i);
            std::fill(to + v.width, to + tile.pad, 0.0f);
        }
    }
}

template <int kBits>
void tileOfCodes(const KvView& v, std::int64_t head, std::int64_t first, std::int64_t count,
                 const CacheTile& tile) {
    const CodedHead h(v, head);
    if (v.grouping == KvGrouping::Token)
        tileByToken<kBits>(v, h, first, count, tile);
    else
        tileByChannel<kBits>(v, h, first, count, tile);
}

template <class E>
void tileOfRing(const KvView& v, std::int64_t head, std::int64_t first, std::int64_t count,
                const CacheTile& tile) {
    const auto* ring = static_cast<const typename E::T*>(v.exact) + head * v.exact_capacity * v.width;
    for (std::int64_t n = 0; n < count; ++n) {
        const typename E::T* from = ring + (first + n) % v.exact_capacity * v.width;
        float* to = tile.rows + n * tile.pad;
        std::int64_t i = 0;
        for (; i + kLanes <= v.width; i += kLanes)
            F32::store(E::load(from + i), to + i);
        if (i < v.width)
            F32::store(E::loadN(from + i, v.width - i), to + i);
        std::fill(to + v.width, to + tile.pad, 0.0f);
    }
}

// Rows first + [0, count) of head (b, h) into tile.rows, zero padded: from their codes, or exact ones from
// the ring.
inline void loadTile(const KvView& v, bool exact, std::int64_t b, std::int64_t h, std::int64_t first,
                     std::int64_t count, const CacheTile& tile) {
    const std::int64_t head = b * v.heads + h;
    if (exact) {
        withElement(v.dtype, [&](auto e) { tileOfRing<decltype(e)>(v, head, first, count, tile); });
        return;
    }
    switch (v.bits) {
        case 8:
            tileOfCodes<8>(v, head, first, count, tile);
            break;
        case 4:
            tileOfCodes<4>(v, head, first, count, tile);
            break;
        case 3:
            tileOfCodes<3>(v, head, first, count, tile);
            break;
        default:
            tileOfCodes<2>(v, head, first, count, tile);
            break;
    }
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
