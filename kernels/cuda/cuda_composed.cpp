// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/cuda_composed.h"

#include "kernels/cuda/cuda_gemm.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/row_products.h"

namespace eigenscope::cuda {

namespace {

enum class Way { Row, Rounded, Parts };

Way wayOf(const ProjectParams& p, const DeviceLimits& limits) {
    const GemmParams& first = p.products[0];
    for (std::int32_t i = 0; i < p.count; ++i) {
        const GemmParams& product = p.products[static_cast<std::size_t>(i)];
        demandSupport(product);
        if (product.weight_dtype != first.weight_dtype)
            return Way::Parts;
    }
    if (canMultiplyRow(first, limits))
        return Way::Row;
    return first.compute != Compute::F32 && first.m > 0 && first.k > 0 ? Way::Rounded : Way::Parts;
}

void* scratchOf(CudaStream& stream, std::int64_t elements) {
    return stream.scratch(static_cast<std::size_t>(elements) * 2);
}

void projectRounded(cublasLtHandle_t handle, CudaStream& stream, const ProjectParams& p) {
    const GemmParams& first = p.products[0];
    void* x = scratchOf(stream, first.m * first.k);
    if (p.norm) {
        launchNormTo(*p.norm, x, first.weight_dtype, stream.queue());
    } else {
        ConvertParams convert;
        convert.x = first.x;
        convert.y = x;
        convert.y_dtype = first.weight_dtype;
        convert.count = first.m * first.k;
        launchConvert(convert, stream.queue());
    }
    bool normed = p.norm == nullptr;  // x in float32 is there
    for (std::int32_t i = 0; i < p.count; ++i) {
        const GemmParams& product = p.products[static_cast<std::size_t>(i)];
        if (gemmOfRounded(handle, stream, product, x))
            continue;
        if (!normed)
            launchNorm(*p.norm, stream.queue());
        normed = true;
        launchDotGemm(product, stream.queue());
    }
}

}  // namespace

bool project(cublasLtHandle_t handle, CudaStream& stream, const ProjectParams& p,
             const DeviceLimits& limits) {
    switch (wayOf(p, limits)) {
        case Way::Row:
            launchRowProducts(p, nullptr, limits, stream.queue());
            return true;
        case Way::Rounded:
            projectRounded(handle, stream, p);
            return true;
        default:
            return false;
    }
}

bool mlp(cublasLtHandle_t handle, CudaStream& stream, const MlpParams& p, const DeviceLimits& limits) {
    demandSupport(p.down);
    switch (wayOf(p.project, limits)) {
        case Way::Row:
            launchRowProducts(p.project, &p.activate, limits, stream.queue());
            gemm(handle, stream, p.down, limits);
            return true;
        case Way::Rounded: {
            const GemmParams& down = p.down;
            if (down.compute == Compute::F32 || down.k == 0)
                return false;
            projectRounded(handle, stream, p.project);
            void* x = scratchOf(stream, down.m * down.k);
            launchActivateTo(p.activate, x, down.weight_dtype, stream.queue());
            if (gemmOfRounded(handle, stream, down, x))
                return true;
            launchActivate(p.activate, stream.queue());
            launchDotGemm(down, stream.queue());
            return true;
        }
        default:
            return false;
    }
}

}  // namespace eigenscope::cuda
