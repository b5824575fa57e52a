// SPDX-License-Identifier: Apache-2.0
// Ops that move and convert elements: convert, embed, add, and the row conversions other ops use.
#include "kernels/cpu/convert.h"

#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/parallel.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/convert.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace eigenscope::cpu::HWY_NAMESPACE {

template <class From, class To>
void convertElements(const void* x_bytes, void* y_bytes, std::int64_t count) {
    const auto* x = static_cast<const typename From::T*>(x_bytes);
    auto* y = static_cast<typename To::T*>(y_bytes);
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        To::store(From::load(x + i), y + i);
    if (i < count)
        To::storeN(From::loadN(x + i, count - i), y + i, count - i);
}

template <class From>
void convertFrom(const void* x, void* y, DType to, std::int64_t count) {
    switch (to) {
        case DType::F32:
            convertElements<From, Element<DType::F32>>(x, y, count);
            break;
        case DType::F16:
            convertElements<From, Element<DType::F16>>(x, y, count);
            break;
        case DType::BF16:
            convertElements<From, Element<DType::BF16>>(x, y, count);
            break;
    }
}

void ConvertRow(const void* x, DType from, void* y, DType to, std::int64_t count) {
    switch (from) {
        case DType::F32:
            convertFrom<Element<DType::F32>>(x, y, to, count);
            break;
        case DType::F16:
            convertFrom<Element<DType::F16>>(x, y, to, count);
            break;
        case DType::BF16:
            convertFrom<Element<DType::BF16>>(x, y, to, count);
            break;
    }
}

template <class From>
void addElements(const void* x_bytes, float* y, std::int64_t count) {
    const auto* x = static_cast<const typename From::T*>(x_bytes);
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        F32::store(hn::Add(F32::load(y + i), From::load(x + i)), y + i);
    if (i < count)
        F32::storeN(hn::Add(F32::loadN(y + i, count - i), From::loadN(x + i, count - i)), y + i, count - i);
}

void AddRow(const void* x, DType from, float* y, std::int64_t count) {
    switch (from) {
        case DType::F32:
            addElements<Element<DType::F32>>(x, y, count);
            break;
        case DType::F16:
            addElements<Element<DType::F16>>(x, y, count);
            break;
        case DType::BF16:
            addElements<Element<DType::BF16>>(x, y, count);
            break;
    }
}

void RoundRow(const float* x, float* y, std::int64_t count) {
    std::int64_t i = 0;
    for (; i + kLanes <= count; i += kLanes)
        F32::store(roundToBf16(F32::load(x + i)), y + i);
    if (i < count)
        F32::storeN(roundToBf16(F32::loadN(x + i, count - i)), y + i, count - i);
}

}  // namespace eigenscope::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace eigenscope::cpu {
namespace {

HWY_EXPORT(ConvertRow);
HWY_EXPORT(AddRow);
HWY_EXPORT(RoundRow);

// Elements a thread must have before a second one pays: a fork costs about 2 microseconds, and a core moves
// roughly 16 bytes a nanosecond from its caches.
constexpr std::int64_t kGrain = 16384;

}  // namespace

void convertRow(const void* x, DType from, void* y, DType to, std::int64_t count) {
    if (from == to && count > 0)
        std::memcpy(y, x, static_cast<std::size_t>(count) * sizeOf(from));
    else
        HWY_DYNAMIC_DISPATCH(ConvertRow)(x, from, y, to, count);
}

void roundRowToBf16(const float* x, float* y, std::int64_t count) {
    HWY_DYNAMIC_DISPATCH(RoundRow)(x, y, count);
}

void convertElements(int threads, const void* x, DType from, void* y, DType to, std::int64_t count) {
    const auto from_size = static_cast<std::int64_t>(sizeOf(from)),
               to_size = static_cast<std::int64_t>(sizeOf(to));
    parallelRanges(threads, count, kGrain, [&](std::int64_t begin, std::int64_t end, int) {
        convertRow(static_cast<const std::byte*>(x) + begin * from_size, from,
                   static_cast<std::byte*>(y) + begin * to_size, to, end - begin);
    });
}

void convert(CpuStream& stream, const ConvertParams& p) {
    convertElements(stream.threads(), p.x, p.x_dtype, p.y, p.y_dtype, p.count);
}

void add(CpuStream& stream, const AddParams& p) {
    parallelRanges(stream.threads(), p.count, kGrain, [&](std::int64_t begin, std::int64_t end, int) {
        HWY_DYNAMIC_DISPATCH(AddRow)(p.x + begin, DType::F32, p.y + begin, end - begin);
    });
}

void embed(CpuStream& stream, const EmbedParams& p) {
    if (p.width == 0)
        return;
    const std::int64_t row_bytes = p.width * static_cast<std::int64_t>(sizeOf(p.table_dtype));
    const std::int64_t grain = kGrain / p.width + 1;
    parallelRanges(stream.threads(), p.count, grain, [&](std::int64_t begin, std::int64_t end, int) {
        for (std::int64_t i = begin; i < end; ++i) {
            const std::byte* row = static_cast<const std::byte*>(p.table) + p.ids[i] * row_bytes;
            float* y = p.y + i * p.width;
            if (p.accumulate)
                HWY_DYNAMIC_DISPATCH(AddRow)(row, p.table_dtype, y, p.width);
            else
                convertRow(row, p.table_dtype, y, DType::F32, p.width);
        }
    });
}

}  // namespace eigenscope::cpu
#endif
