// SPDX-License-Identifier: Apache-2.0
// The matrix product: a few rows of x go to the matrix-vector kernel, more rows to oneDNN. Weights that
// oneDNN cannot take in their own dtype are converted in scratch, a panel of rows at a time.
#include "kernels/cpu/convert.h"
#include "kernels/cpu/cpu_ops.h"
#include "kernels/cpu/matvec.h"
#include "kernels/cpu/onednn_matmul.h"
#include "kernels/cpu/parallel.h"

#include <algorithm>

namespace eigenscope::cpu {
namespace {

// Multiply-adds that are worth a thread: about 5 microseconds of one core.
constexpr std::int64_t kGrain = 1 << 16;
// Bytes of a converted weight panel: large enough that oneDNN runs at speed, small enough for an L3.
constexpr std::int64_t kPanelBytes = 8 << 20;
// Multiply-adds between two looks at a stop: some tenths of a second of two slow cores.
constexpr std::int64_t kPieceWork = std::int64_t{1} << 32;
// Rows of x up to which several passes of the matrix-vector kernel, which converts in registers, beat
// converting the weight for oneDNN: to float32, and to bfloat16, where oneDNN is twice as fast.
constexpr std::int64_t kPassRows = 40, kPassRowsBf16 = 16;

// Rows of x that go to the matrix-vector kernel.
std::int64_t fewRowsLimit(const GemmParams& p) {
    if (p.compute == Compute::BF16)
        return p.weight_dtype == DType::BF16 ? kMatvecRows : kPassRowsBf16;
    return p.weight_dtype == DType::F32 ? kMatvecRows : kPassRows;
}

void fewRows(CpuStream& stream, const GemmParams& p) {
    const bool round = p.compute == Compute::BF16;
    float* x = stream.arena().take<float>(packedFloats(std::min(kMatvecRows, p.m), p.k));
    const std::int64_t grain = kGrain / std::max<std::int64_t>(p.m * p.k, 1) + 1;
    for (std::int64_t first = 0; first < p.m; first += kMatvecRows) {
        stream.checkStop();
        const std::int64_t m = std::min(kMatvecRows, p.m - first);
        packRows(p.x + first * p.k, m, p.k, round, x);
        const MatvecArgs args{.x = x,
                              .weight = p.weight,
                              .weight_dtype = p.weight_dtype,
                              .round_weight = round,
                              .bias = p.bias,
                              .y = p.y + first * p.n,
                              .m = m,
                              .n = p.n,
                              .k = p.k,
                              .accumulate = p.accumulate};
        parallelRanges(stream.threads(), p.n, grain,
                       [&](std::int64_t begin, std::int64_t end, int) { matvecColumns(args, begin, end); });
    }
}

void manyRows(CpuStream& stream, MatmulCache& matmuls, const GemmParams& p) {
    const DType type = p.compute == Compute::BF16 ? DType::BF16 : DType::F32;
    const auto type_size = static_cast<std::int64_t>(sizeOf(type));
    const void* x = p.x;
    if (type != DType::F32) {
        void* converted = stream.arena().take<std::byte>(p.m * p.k * type_size);
        convertElements(stream.threads(), p.x, DType::F32, converted, type, p.m * p.k);
        x = converted;
    }
    MatmulShape shape{.m = p.m,
                      .n = p.n,
                      .k = p.k,
                      .stride = p.n,
                      .dtype = type,
                      .bias = p.bias != nullptr,
                      .accumulate = p.accumulate,
                      .threads = stream.threads()};
    const std::int64_t row_bytes = p.k * static_cast<std::int64_t>(sizeOf(p.weight_dtype));
    const auto panelOf = [&](std::int64_t rows) {
        return std::min(std::max<std::int64_t>(rows / 64 * 64, 64), p.n);
    };
    if (p.weight_dtype == type) {
        const std::int64_t panel = panelOf(kPieceWork / (p.m * p.k));
        for (std::int64_t first = 0; first < p.n; first += panel) {
            stream.checkStop();
            shape.n = std::min(panel, p.n - first);
            matmuls.run(stream, shape, x, static_cast<const std::byte*>(p.weight) + first * row_bytes,
                        p.bias ? p.bias + first : nullptr, p.y + first);
        }
        return;
    }
    const std::int64_t panel = panelOf(kPanelBytes / (p.k * type_size));
    void* converted = stream.arena().take<std::byte>(panel * p.k * type_size);
    for (std::int64_t first = 0; first < p.n; first += panel) {
        stream.checkStop();
        shape.n = std::min(panel, p.n - first);
        convertElements(stream.threads(), static_cast<const std::byte*>(p.weight) + first * row_bytes,
                        p.weight_dtype, converted, type, shape.n * p.k);
        matmuls.run(stream, shape, x, converted, p.bias ? p.bias + first : nullptr, p.y + first);
    }
}

}  // namespace

void gemm(CpuStream& stream, MatmulCache& matmuls, const GemmParams& p) {
    stream.arena().reset();
    if (p.m == 0 || p.n == 0)
        return;
    if (p.m <= fewRowsLimit(p) || p.k == 0)
        fewRows(stream, p);
    else
        manyRows(stream, matmuls, p);
}

}  // namespace eigenscope::cpu
