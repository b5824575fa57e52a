// SPDX-License-Identifier: Apache-2.0
// One thread an element (or a pair): embed, activate, add, rope, convert. All bound by memory.
#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/device_position.cuh"
#include "kernels/cuda/launch.cuh"

namespace eigenscope::cuda {

namespace {

template <typename T>
__global__ void embedKernel(EmbedParams p) {
    const T* table = static_cast<const T*>(p.table);
    for (std::int64_t i = firstIndex(); i < p.count * p.width; i += indexStep()) {
        const std::int64_t row = i / p.width, column = i - row * p.width;
        const float value = toFloat(table[p.ids[row] * p.width + column]);
        p.y[i] = p.accumulate ? p.y[i] + value : value;
    }
}

// To: what the results are rounded to.
template <ActivateParams::Kind kKind, typename To>
__global__ void activateKernel(ActivateParams p, To* y) {
    for (std::int64_t i = firstIndex(); i < p.count; i += indexStep()) {
        const float value = activation<kKind>(p.x[i], p.limit);
        y[i] = fromFloat<To>(p.gate ? value * p.gate[i] : value);
    }
}

__global__ void addKernel(AddParams p) {
    for (std::int64_t i = firstIndex(); i < p.count; i += indexStep())
        p.y[i] += p.x[i];
}

// One thread a rotated pair.
__global__ void ropeKernel(RopeParams p, std::int64_t pairs) {
    const std::int64_t half = p.table.rotary_dim / 2, first = ropePosition(p);
    for (std::int64_t i = firstIndex(); i < pairs; i += indexStep()) {
        const std::int64_t element = i % half, row = i / half;  // row: (b * length + t) * heads + h
        const std::int64_t position = first + row / p.heads % p.length;
        const float c = p.table.cos[position * half + element];
        const float s = p.table.sin[position * half + element];
        float* x = p.x + row * p.head_dim + element;
        const float low = x[0], high = x[half];
        x[0] = low * c - high * s;
        x[half] = high * c + low * s;
    }
}

template <typename From, typename To>
__global__ void convertKernel(const From* x, To* y, std::int64_t count) {
    for (std::int64_t i = firstIndex(); i < count; i += indexStep())
        y[i] = fromFloat<To>(toFloat(x[i]));
}

}  // namespace

void launchEmbed(const EmbedParams& p, cudaStream_t stream) {
    const std::int64_t count = p.count * p.width;
    if (count == 0)
        return;
    withType(p.table_dtype, [&](auto type) {
        launch("embed", embedKernel<decltype(type)>, blocksFor(count), kThreads, 0, stream, p);
    });
}

void launchActivate(const ActivateParams& p, cudaStream_t stream) {
    launchActivateTo(p, p.y, DType::F32, stream);
}

void launchActivateTo(const ActivateParams& p, void* y, DType dtype, cudaStream_t stream) {
    if (p.count == 0)
        return;
    withType(dtype, [&](auto type) {
        using To = decltype(type);
        withKind(p.kind, [&](auto kind) {
            launch("activate", activateKernel<decltype(kind)::kKind, To>, blocksFor(p.count), kThreads, 0,
                   stream, p, static_cast<To*>(y));
        });
    });
}

void launchAdd(const AddParams& p, cudaStream_t stream) {
    if (p.count == 0)
        return;
    launch("add", addKernel, blocksFor(p.count), kThreads, 0, stream, p);
}

void launchRope(const RopeParams& p, cudaStream_t stream) {
    const std::int64_t pairs = std::int64_t{1} * p.batch * p.length * p.heads * (p.table.rotary_dim / 2);
    if (pairs == 0)
        return;
    launch("rope", ropeKernel, blocksFor(pairs), kThreads, 0, stream, p, pairs);
}

void launchConvert(const ConvertParams& p, cudaStream_t stream) {
    if (p.count == 0)
        return;
    withType(p.x_dtype, [&](auto from) {
        withType(p.y_dtype, [&](auto to) {
            using From = decltype(from);
            using To = decltype(to);
            launch("convert", convertKernel<From, To>, blocksFor(p.count), kThreads, 0, stream,
                   static_cast<const From*>(p.x), static_cast<To*>(p.y), p.count);
        });
    });
}

}  // namespace eigenscope::cuda
