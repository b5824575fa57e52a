// SPDX-License-Identifier: Apache-2.0
// A block of up to 32 warps on each multiprocessor holds the row x, normalised and rounded, in shared memory;
// a warp computes a column at a time, whose row of the weights it reads once.
//
// Counted for 16-bit weights on an H200: a multiprocessor gets 18 bytes of weights a clock from memory, reads
// as many of x from shared memory, which gives 128, and issues some 30 of its 128 operations a lane and
// clock. What must be under way to hide some 800 clocks of latency is 14 KiB; 32 warps with four loads of 16
// bytes a lane have 64 KiB. The first of them are under way while x is read and normalised, some 2
// microseconds' worth of memory's time, and those of a warp's next column while a sum is reduced. One block a
// multiprocessor, so that x is read 132 times and not once for every eight columns (llama-2-7b: 2 MB beside
// 100 MB of weights). A step of decode then launches seven kernels a layer in place of sixteen.
#include "kernels/cuda/row_products.h"

#include "kernels/cuda/activation.cuh"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/vectors.cuh"

namespace eigenscope::cuda {

namespace {

constexpr int kWarp = 32;
constexpr int kMostWarps = 32;              // of a block
constexpr int kAhead = 4;                   // loads of weights under way
constexpr int kFewestWarps = 8;             // more blocks with fewer would only read x
constexpr std::size_t kStaticBytes = 1024;  // of shared memory beside x, rounded up

struct RowMatrix {
    const void* weight;
    const float* bias;
    float* y;
    std::int64_t n;
    bool accumulate;
};

// What the kernel takes. A unit is what a warp does at a time: a column of one of the matrices, or with an
// activation the same column of all of them.
struct RowTask {
    const float* x;  // [k]
    std::int64_t k, units;
    NormParams norm;
    RowMatrix matrices[3];
    ActivateParams activate;
    bool normed, activated;
    int parts;  // columns of a unit
};

// Of one value a thread; every thread gets the sum. shared: [kMostWarps].
__device__ float sumOfBlock(float value, float* shared) {
    const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
#pragma unroll
    for (int distance = kWarp / 2; distance > 0; distance /= 2)
        value += __shfl_xor_sync(~0u, value, distance);
    if (lane == 0)
        shared[warp] = value;
    __syncthreads();
    float total = lane < static_cast<int>(blockDim.x) / kWarp ? shared[lane] : 0.0f;
#pragma unroll
    for (int distance = kWarp / 2; distance > 0; distance /= 2)
        total += __shfl_xor_sync(~0u, total, distance);
    __syncthreads();  // shared may be used again
    return total;
}

// The row as the products take it. Two passes for the mean and the variance about it: one would cancel.
template <typename Arithmetic>
__device__ void stageRow(const RowTask& task, Arithmetic* staged, float* shared) {
    const auto k = static_cast<unsigned>(task.k);
    const float* x = task.x;
    if (!task.normed) {
#pragma unroll 4
        for (unsigned i = threadIdx.x; i < k; i += blockDim.x)
            staged[i] = fromFloat<Arithmetic>(x[i]);
        __syncthreads();
        return;
    }
    const NormParams& norm = task.norm;
    const float width = static_cast<float>(k);
    float mean = 0.0f;
    if (norm.kind == NormParams::Kind::LayerNorm) {
#pragma unroll 4
        for (unsigned i = threadIdx.x; i < k; i += blockDim.x)
            mean += x[i];
        mean = sumOfBlock(mean, shared) / width;
    }
    float squares = 0.0f;
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < k; i += blockDim.x)
        squares += (x[i] - mean) * (x[i] - mean);
    const float scale = 1.0f / sqrtf(sumOfBlock(squares, shared) / width + norm.epsilon);
#pragma unroll 4
    for (unsigned i = threadIdx.x; i < k; i += blockDim.x) {
        const float value = (x[i] - mean) * scale * (norm.weight ? norm.weight[i] : 1.0f);
        staged[i] = fromFloat<Arithmetic>(norm.bias ? value + norm.bias[i] : value);
    }
    __syncthreads();
}

// A column of one of the matrices, and the columns of a warp in their order.
struct Column {
    std::int64_t unit;
    int part = 0;
    int matrix = 0;
    std::int64_t index = 0;  // in its matrix
    __device__ void locate(const RowTask& task) {
        matrix = part;
        index = unit;
        if (!task.activated)
            for (; index >= task.matrices[matrix].n; ++matrix)
                index -= task.matrices[matrix].n;
    }
    __device__ Column next(const RowTask& task, std::int64_t step) const {
        Column column = *this;
        if (++column.part == task.parts) {
            column.part = 0;
            column.unit += step;
        }
        if (column.unit < task.units)
            column.locate(task);
        return column;
    }
};

template <typename Weight, int kCount>
using Loads = Several<Weight, kCount>[kAhead];

// A lane's elements of a column, from part `first` on.
template <typename Weight, int kCount>
__device__ void load(const RowTask& task, const Column& column, int first, Loads<Weight, kCount>& to) {
    const int parts = static_cast<int>(task.k / kCount);
    const auto* weight = static_cast<const Several<Weight, kCount>*>(task.matrices[column.matrix].weight) +
                         column.index * parts;
#pragma unroll
    for (int a = 0; a < kAhead; ++a)
        if (first + a * kWarp < parts)
            to[a] = weight[first + a * kWarp];
}

// kCount consecutive elements of k at a time, lanes side by side; a fixed tree adds the lanes up.
template <typename Weight, typename Arithmetic, int kCount>
__global__ void __launch_bounds__(kMostWarps* kWarp, 1) rowProductsKernel(RowTask task) {
    __shared__ float shared[kMostWarps];
    auto* staged = dynamicShared<Arithmetic>();
    const auto* x = reinterpret_cast<const Several<Arithmetic, kCount>*>(staged);
    const int lane = static_cast<int>(threadIdx.x) % kWarp, warp = static_cast<int>(threadIdx.x) / kWarp;
    const int parts = static_cast<int>(task.k / kCount);
    const std::int64_t step = std::int64_t{blockDim.x / kWarp} * gridDim.x;
    Loads<Weight, kCount> weights;
    Column column{std::int64_t{warp} * gridDim.x + blockIdx.x};
    if (column.unit < task.units) {
        column.locate(task);
        load<Weight, kCount>(task, column, lane, weights);
    }
    stageRow(task, staged, shared);

    float before = 0.0f;  // of the unit's columns so far
    while (column.unit < task.units) {
        float sum = 0.0f;
        for (int first = lane; first < parts; first += kWarp * kAhead) {
            if (first != lane)
                load<Weight, kCount>(task, column, first, weights);
#pragma unroll
            for (int a = 0; a < kAhead; ++a)
                if (first + a * kWarp < parts) {
                    const Several<Arithmetic, kCount> v = x[first + a * kWarp];
#pragma unroll
                    for (int c = 0; c < kCount; ++c)
                        sum += toFloat(v.values[c]) * toFloat(weights[a].values[c]);
                }
        }
        const Column done = column;
        column = column.next(task, step);
        if (column.unit < task.units)
            load<Weight, kCount>(task, column, lane, weights);
#pragma unroll
        for (int distance = kWarp / 2; distance > 0; distance /= 2)
            sum += __shfl_xor_sync(~0u, sum, distance);
        const RowMatrix& matrix = task.matrices[done.matrix];
        const float value = matrix.bias ? sum + matrix.bias[done.index] : sum;
        if (!task.activated) {
            if (lane == 0)
                matrix.y[done.index] = value + (matrix.accumulate ? matrix.y[done.index] : 0.0f);
        } else if (done.part == 0) {
            before = activation(task.activate.kind, value, task.activate.limit);
        } else {
            before *= value;
        }
        if (task.activated && done.part + 1 == task.parts && lane == 0)
            task.activate.y[done.index] = before;
    }
}

template <typename Weight, typename Arithmetic>
void launchTyped(const RowTask& task, const DeviceLimits& limits, cudaStream_t stream) {
    constexpr int kCount = static_cast<int>(16 / sizeof(Weight));
    bool vectors = task.k % kCount == 0;
    for (int i = 0; i < 3; ++i)
        vectors = vectors && alignedTo(task.matrices[i].weight, 16);
    const std::int64_t blocks =
        std::min<std::int64_t>(limits.multiprocessors, (task.units + kFewestWarps - 1) / kFewestWarps);
    const std::int64_t warps =
        std::clamp<std::int64_t>((task.units + blocks - 1) / blocks, kFewestWarps, kMostWarps);
    const std::size_t bytes = static_cast<std::size_t>(task.k) * sizeof(Arithmetic);
    const auto kernel =
        vectors ? rowProductsKernel<Weight, Arithmetic, kCount> : rowProductsKernel<Weight, Arithmetic, 1>;
    launch("products of a row", kernel, static_cast<unsigned>(blocks), static_cast<unsigned>(warps * kWarp),
           bytes, stream, task);
}

}  // namespace

bool canMultiplyRow(const GemmParams& p, const DeviceLimits& limits) {
    const std::size_t element = p.compute == Compute::F32 ? 4 : 2;
    return p.m == 1 && static_cast<std::size_t>(p.k) <= (limits.shared_bytes - kStaticBytes) / element;
}

void launchRowProducts(const ProjectParams& p, const ActivateParams* activate, const DeviceLimits& limits,
                       cudaStream_t stream) {
    const GemmParams& first = p.products[0];
    RowTask task{};
    task.x = p.norm ? p.norm->x : first.x;
    task.k = first.k;
    task.normed = p.norm != nullptr;
    task.norm = p.norm ? *p.norm : NormParams{};
    task.activated = activate != nullptr;
    task.activate = activate ? *activate : ActivateParams{};
    task.parts = activate ? p.count : 1;
    for (std::int32_t i = 0; i < p.count; ++i) {
        const GemmParams& product = p.products[static_cast<std::size_t>(i)];
        task.matrices[i] = {product.weight, product.bias, product.y, product.n, product.accumulate};
        task.units = activate ? product.n : task.units + product.n;
    }
    if (task.units == 0)
        return;
    // Rounding weights to a type that is not theirs is refused before (supportsGemm()).
    withType(first.weight_dtype, [&](auto weight) {
        using Weight = decltype(weight);
        if (first.compute == Compute::F32)
            launchTyped<Weight, float>(task, limits, stream);
        else
            launchTyped<Weight, Weight>(task, limits, stream);
    });
}

}  // namespace eigenscope::cuda
