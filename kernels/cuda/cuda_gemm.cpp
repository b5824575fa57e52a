// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_gemm.h"

#include "kernels/cuda/cuda_check.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/row_products.h"

#include <algorithm>

namespace eigenscope::cuda {

namespace {

constexpr std::int64_t kFewRows =
    8;  // up to here, widening weights to float32 would cost more than the product
constexpr std::size_t kWidenedBytes = std::size_t{64} << 20;  // of float32 weights in scratch at a time

std::uint32_t alignmentOf(const void* pointer) {
    const auto address = reinterpret_cast<std::uintptr_t>(pointer);
    return address == 0 ? 16u
                        : static_cast<std::uint32_t>(std::min<std::uintptr_t>(address & (~address + 1), 16));
}

// One call of cuBLASLt over columns [first, first + count) of y. False when it has no algorithm.
bool multiply(cublasLtHandle_t handle, CudaStream& stream, const GemmParams& p, DType dtype, const void* x,
              const void* weight, std::int64_t first, std::int64_t count) {
    float* y = p.y + first;
    const float* bias = p.bias ? p.bias + first : nullptr;
    MatmulKey key;
    key.m = p.m, key.n = count, key.k = p.k, key.ldy = p.n;
    key.dtype = dtype;
    key.bias = bias != nullptr;
    key.x_alignment = alignmentOf(x);
    key.weight_alignment = alignmentOf(weight);
    key.y_alignment = alignmentOf(y);
    if (bias && alignmentOf(bias) < 16)  // the epilogue reads it in vectors
        return false;
    const MatmulPlan& plan = stream.plans().find(handle, key);
    if (!plan.usable())
        return false;
    plan.run(handle, x, weight, bias, y, p.accumulate, stream.workspace(), stream.queue());
    return true;
}

// Weights of 16 bits in float32 arithmetic: widened into scratch, some columns of y after the other.
void multiplyWidened(cublasLtHandle_t handle, CudaStream& stream, const GemmParams& p) {
    const std::int64_t row_bytes = p.k * 4;
    const std::int64_t rows = std::clamp<std::int64_t>(
        static_cast<std::int64_t>(kWidenedBytes) / row_bytes / 16 * 16, 16, p.n + 15);
    void* widened = stream.scratch(static_cast<std::size_t>(std::min(rows, p.n) * row_bytes));
    for (std::int64_t first = 0; first < p.n; first += rows) {
        const std::int64_t count = std::min(rows, p.n - first);
        ConvertParams convert;
        convert.x = static_cast<const char*>(p.weight) + first * p.k * 2;
        convert.x_dtype = p.weight_dtype;
        convert.y = widened;
        convert.count = count * p.k;
        launchConvert(convert, stream.queue());
        if (multiply(handle, stream, p, DType::F32, p.x, widened, first, count))
            continue;
        if (first != 0)  // some columns are done; the kernel below would add to them twice
            throw Error(ErrorCode::Device, "gemm: cuBLASLt has no algorithm for a part of the product");
        launchDotGemm(p, stream.queue());
        return;
    }
}

}  // namespace

Support supportsGemm(DType weight, Compute compute) {
    const bool same = (weight == DType::F16 && compute == Compute::F16) ||
                      (weight == DType::BF16 && compute == Compute::BF16);
    if (compute == Compute::F32 || same)
        return {};
    return {false, "arithmetic in 16 bits needs weights stored in that type; rounding " +
                       std::string(nameOf(weight)) +
                       " weights at every product would be slower than compute f32"};
}

void demandSupport(const GemmParams& p) {
    const Support support = supportsGemm(p.weight_dtype, p.compute);
    if (!support)
        throw Error(ErrorCode::Unsupported, "gemm: " + support.reason);
}

void gemm(cublasLtHandle_t handle, CudaStream& stream, const GemmParams& p, const DeviceLimits& limits) {
    demandSupport(p);
    if (p.m == 0 || p.n == 0)
        return;
    if (canMultiplyRow(p, limits)) {
        ProjectParams one;
        one.products[0] = p;
        one.count = 1;
        launchRowProducts(one, nullptr, limits, stream.queue());
        return;
    }
    if (p.k == 0) {  // an empty sum: bias, or what was there
        launchDotGemm(p, stream.queue());
        return;
    }
    if (p.compute == Compute::F32 && p.weight_dtype != DType::F32) {
        if (p.m <= kFewRows)
            launchDotGemm(p, stream.queue());
        else
            multiplyWidened(handle, stream, p);
        return;
    }
    const void* x = p.x;
    if (p.compute != Compute::F32) {
        ConvertParams convert;
        convert.x = p.x;
        convert.y = stream.scratch(static_cast<std::size_t>(p.m * p.k) * 2);
        convert.y_dtype = p.weight_dtype;
        convert.count = p.m * p.k;
        launchConvert(convert, stream.queue());
        x = convert.y;
    }
    if (!multiply(handle, stream, p, p.weight_dtype, x, p.weight, 0, p.n))
        launchDotGemm(p, stream.queue());
}

bool gemmOfRounded(cublasLtHandle_t handle, CudaStream& stream, const GemmParams& p, const void* x) {
    return p.n == 0 || multiply(handle, stream, p, p.weight_dtype, x, p.weight, 0, p.n);
}

}  // namespace eigenscope::cuda
