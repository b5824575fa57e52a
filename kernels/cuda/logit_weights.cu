// SPDX-License-Identifier: Apache-2.0
// Weights of logit errors (LogitWeightsParams) in four steps: sampled queries rotated and their outputs put
// through the root; pairs of samples with tiles of keys, each a logit and a squared change of the output; the
// softmax of each sample; sums by key. What passes from the second step to the third are two float32 in the
// place of each weight.
//
// What it costs: for a layer of llama-2-7b and a window of 2048 tokens with 32 samples, values through the
// roots are 2048 x 32 x 128 x 128 multiply-adds in float32, 1.1e9, and the pairs (half of 2048 x 32 x 32) x
// 128 x 3 operations, 0.4e9. A multiprocessor issues 128 a cycle; loads from the first cache and shared
// memory hold the first to two thirds of that, the pairs to the whole: at half of it 180 us on the 132 of an
// H200, with the other steps (17 MB of weights written and read twice, 1e6 exponentials in float64: 25 us)
// 0.8 s for 128 windows of 32 layers.
#include "kernels/api/error.h"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_math.cuh"
#include "kernels/cuda/launch.cuh"

#include <cmath>
#include <string>

namespace eigenscope::cuda {

namespace {

constexpr int kOwn = 8;                       // samples of a thread
constexpr int kColumns = 8;                   // of projected values that a thread has at a time
constexpr int kColumnThreads = 16;            // side by side
constexpr std::size_t kTileBytes = 96 << 10;  // of shared memory: what every supported GPU has

__host__ __device__ inline int paddedWidth(int width) { return (width + 3) / 4 * 4; }

// Of samples: rotated queries and projected outputs, [query_heads, samples, padded width] each, zero behind
// the width.
struct Prepared {
    float *queries, *outputs;
};

__device__ int seenBy(int position, int window) {
    return window > 0 && window < position + 1 ? window : position + 1;
}

// One block a sample and head.
__global__ void prepareKernel(LogitWeightsParams p, Prepared to) {
    const int s = static_cast<int>(blockIdx.x), h = static_cast<int>(blockIdx.y);
    const int padded = paddedWidth(p.width), half = p.table.rotary_dim / 2;
    const std::int64_t m = p.positions[s], row = (m * p.query_heads + h) * p.width;
    const std::int64_t place = (std::int64_t{h} * p.samples + s) * padded;
    const float* q = p.queries + row;
    for (int c = static_cast<int>(threadIdx.x); c < padded; c += kThreads) {
        float query = c < p.width ? q[c] : 0.0f, output = 0.0f;
        if (c < 2 * half) {
            const int i = c % half;
            const float cosine = p.table.cos[m * half + i], sine = p.table.sin[m * half + i];
            query = c < half ? q[c] * cosine - q[c + half] * sine : q[c] * cosine + q[c - half] * sine;
        }
        for (int i = 0; c < p.width && i < p.width; ++i)
            output += p.outputs[row + i] * p.roots[(std::int64_t{h} * p.width + i) * p.width + c];
        to.queries[place + c] = query;
        to.outputs[place + c] = output;
    }
}

// Values of a tile's keys through the head's root: to[key, c] = sum over i of values[key, i] root[i, c].
template <int kKeys>
__device__ void projectTile(const float* values, const float* root, int width, int pitch, float* to) {
    constexpr int kKeyThreads = kThreads / kColumnThreads, kOwnKeys = kKeys / kKeyThreads;
    const int first = static_cast<int>(threadIdx.x) % kColumnThreads,
              key = static_cast<int>(threadIdx.x) / kColumnThreads;
    for (int base = first; base < width; base += kColumnThreads * kColumns) {
        float sums[kOwnKeys][kColumns] = {};
        for (int i = 0; i < width; ++i) {
            float v[kOwnKeys];
#pragma unroll
            for (int k = 0; k < kOwnKeys; ++k)
                v[k] = values[(key + k * kKeyThreads) * pitch + i];
#pragma unroll
            for (int c = 0; c < kColumns; ++c) {
                const int column = base + c * kColumnThreads;
                const float r = column < width ? root[std::int64_t{i} * width + column] : 0.0f;
#pragma unroll
                for (int k = 0; k < kOwnKeys; ++k)
                    sums[k][c] += v[k] * r;
            }
        }
#pragma unroll
        for (int c = 0; c < kColumns; ++c)
            if (base + c * kColumnThreads < width)
#pragma unroll
                for (int k = 0; k < kOwnKeys; ++k)
                    to[(key + k * kKeyThreads) * pitch + base + c * kColumnThreads] = sums[k][c];
    }
}

// A tile's rows of x [length, kv_heads, width], zero behind the width and the length.
template <int kKeys>
__device__ void loadTile(const LogitWeightsParams& p, const float* x, int kv_head, int first, int pitch,
                         float* to) {
    for (int i = static_cast<int>(threadIdx.x); i < kKeys * pitch; i += kThreads) {
        const int key = i / pitch, c = i % pitch;
        const std::int64_t n = first + key;
        to[i] = n < p.length && c < p.width ? x[(n * p.kv_heads + kv_head) * p.width + c] : 0.0f;
    }
}

template <int kKeys>
__device__ void rotateTile(const LogitWeightsParams& p, int first, int pitch, float* keys) {
    const int half = p.table.rotary_dim / 2;
    for (int i = static_cast<int>(threadIdx.x); i < kKeys * half; i += kThreads) {
        const std::int64_t n = first + i / half;
        if (n >= p.length)
            continue;
        float* low = keys + i / half * pitch + i % half;
        const float a = low[0], b = low[half];
        const float cosine = p.table.cos[n * half + i % half], sine = p.table.sin[n * half + i % half];
        low[0] = a * cosine - b * sine;
        low[half] = b * cosine + a * sine;
    }
}

// One block a tile of keys and head: logits without scale and slope, and squared changes, by distance.
template <int kKeys>
__global__ void __launch_bounds__(kThreads, 2) pairKernel(LogitWeightsParams p, Prepared from) {
    constexpr int kRound = kThreads / kKeys * kOwn;               // samples at a time
    const int padded = paddedWidth(p.width), pitch = padded + 1;  // odd: no bank conflicts
    auto* keys = dynamicShared<float>();                          // [kKeys, pitch], values before
    float* projected = keys + kKeys * pitch;                      // [kKeys, pitch]
    const int first = static_cast<int>(blockIdx.x) * kKeys, h = static_cast<int>(blockIdx.y);
    const int kv_head = h / (p.query_heads / p.kv_heads);
    loadTile<kKeys>(p, p.values, kv_head, first, pitch, keys);
    for (int i = static_cast<int>(threadIdx.x); i < kKeys * pitch; i += kThreads)
        if (i % pitch >= p.width)
            projected[i] = 0.0f;
    __syncthreads();
    projectTile<kKeys>(keys, p.roots + std::int64_t{h} * p.width * p.width, p.width, pitch, projected);
    __syncthreads();
    loadTile<kKeys>(p, p.keys, kv_head, first, pitch, keys);
    __syncthreads();
    rotateTile<kKeys>(p, first, pitch, keys);
    __syncthreads();

    const int key = static_cast<int>(threadIdx.x) % kKeys;
    const float *own_key = keys + key * pitch, *own_projected = projected + key * pitch;
    for (int s0 = static_cast<int>(threadIdx.x) / kKeys * kOwn; s0 < p.samples; s0 += kRound) {
        const float4 *queries[kOwn], *outputs[kOwn];
        bool any = false;
#pragma unroll
        for (int k = 0; k < kOwn; ++k) {
            const int s = min(s0 + k, p.samples - 1);
            any |= p.positions[s] >= first;
            const std::int64_t place = (std::int64_t{h} * p.samples + s) * padded;
            queries[k] = reinterpret_cast<const float4*>(from.queries + place);
            outputs[k] = reinterpret_cast<const float4*>(from.outputs + place);
        }
        if (!any)
            continue;
        float dots[kOwn] = {}, changes[kOwn] = {};
        for (int i = 0; i < padded; i += 4) {
            const float *x = own_key + i, *y = own_projected + i;
            const float x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
            const float y0 = y[0], y1 = y[1], y2 = y[2], y3 = y[3];
#pragma unroll
            for (int k = 0; k < kOwn; ++k) {
                const float4 q = queries[k][i / 4], o = outputs[k][i / 4];
                dots[k] += x0 * q.x + x1 * q.y + x2 * q.z + x3 * q.w;
                const float d0 = y0 - o.x, d1 = y1 - o.y, d2 = y2 - o.z, d3 = y3 - o.w;
                changes[k] += d0 * d0 + d1 * d1 + d2 * d2 + d3 * d3;
            }
        }
#pragma unroll
        for (int k = 0; k < kOwn; ++k) {
            const int s = s0 + k, n = first + key;
            if (s >= p.samples || n > p.positions[s])
                continue;
            auto* pairs = reinterpret_cast<float2*>(p.weights + (std::int64_t{h} * p.samples + s) * p.length);
            pairs[p.positions[s] - n] = float2{dots[k], changes[k]};
        }
    }
}

struct LargestDouble {
    __device__ double operator()(double a, double b) const { return a < b ? b : a; }
};

// One block a sample and head: pairs become weights in their places.
__global__ void softmaxKernel(LogitWeightsParams p) {
    __shared__ double shared[kThreads];
    const int s = static_cast<int>(blockIdx.x), h = static_cast<int>(blockIdx.y);
    const int m = p.positions[s], seen = seenBy(m, p.window);
    double* weights = p.weights + (std::int64_t{h} * p.samples + s) * p.length;
    const auto* pairs = reinterpret_cast<const float2*>(weights);
    const double scale = p.scale, slope = p.alibi_slopes ? p.alibi_slopes[h] : 0.0;
    const auto score = [&](int t) { return scale * pairs[t].x - slope * t; };
    double largest = -INFINITY, total = 0.0, sum = 0.0;
    for (int t = static_cast<int>(threadIdx.x); t < seen; t += kThreads)
        largest = LargestDouble{}(largest, score(t));
    largest = blockReduce(largest, shared, LargestDouble{});
    for (int t = static_cast<int>(threadIdx.x); t < seen; t += kThreads)
        total += exp(score(t) - largest);
    total = blockReduce(total, shared, Sum{});
    for (int t = static_cast<int>(threadIdx.x); t <= m; t += kThreads) {
        double weight = 0.0;
        if (t < seen) {
            const double attention = exp(score(t) - largest) / total;
            weight = attention * attention * pairs[t].y;
        }
        sum += weight;
        weights[t] = weight;
    }
    sum = blockReduce(sum, shared, Sum{});
    if (threadIdx.x == 0)
        p.by_query[std::int64_t{h} * p.samples + s] = sum;
}

// One thread a key and key/value head.
__global__ void keySumsKernel(LogitWeightsParams p) {
    const int group = p.query_heads / p.kv_heads;
    for (std::int64_t i = firstIndex(); i < p.kv_heads * p.length; i += indexStep()) {
        const std::int64_t kv_head = i / p.length, n = i % p.length;
        double sum = 0.0;
        for (std::int64_t h = kv_head * group; h < (kv_head + 1) * group; ++h)
            for (std::int64_t s = 0; s < p.samples; ++s)
                if (n <= p.positions[s])
                    sum += p.weights[(h * p.samples + s) * p.length + p.positions[s] - n];
        p.by_key[i] = sum;
    }
}

// One block `joint` key/value heads: their totals and, where wanted, their keys' sums together.
__global__ void headSumsKernel(LogitWeightsParams p) {
    __shared__ double shared[kThreads];
    const std::int64_t block = blockIdx.x;
    const double* from = p.by_key + block * p.joint * p.length;
    if (p.joint_keys)
        for (std::int64_t n = threadIdx.x; n < p.length; n += kThreads) {
            double sum = 0.0;
            for (int k = 0; k < p.joint; ++k)
                sum += from[k * p.length + n];
            p.joint_keys[block * p.length + n] = sum;
        }
    for (int k = 0; k < p.joint; ++k) {
        double sum = 0.0;
        for (std::int64_t n = threadIdx.x; n < p.length; n += kThreads)
            sum += from[k * p.length + n];
        sum = blockReduce(sum, shared, Sum{});
        if (threadIdx.x == 0)
            p.total[block * p.joint + k] += sum;
    }
}

template <int kKeys>
std::size_t tileBytes(int width) {
    return std::size_t{2} * kKeys * static_cast<std::size_t>(paddedWidth(width) + 1) * sizeof(float);
}

template <int kKeys>
void launchPairs(const LogitWeightsParams& p, const Prepared& prepared, cudaStream_t stream) {
    launch("logit weights", pairKernel<kKeys>,
           dim3(static_cast<unsigned>((p.length + kKeys - 1) / kKeys), static_cast<unsigned>(p.query_heads)),
           kThreads, tileBytes<kKeys>(p.width), stream, p, prepared);
}

std::size_t preparedFloats(const LogitWeightsParams& p) {
    return static_cast<std::size_t>(p.query_heads) * static_cast<std::size_t>(p.samples) *
           static_cast<std::size_t>(paddedWidth(p.width));
}

}  // namespace

std::size_t logitWeightsScratchBytes(const LogitWeightsParams& p) {
    return 2 * preparedFloats(p) * sizeof(float);
}

void launchLogitWeights(const LogitWeightsParams& p, void* scratch, cudaStream_t stream) {
    if (tileBytes<16>(p.width) > kTileBytes)
        throw Error(ErrorCode::Unsupported,
                    "logitWeights: heads of " + std::to_string(p.width) + " elements; up to 764 work");
    if (p.samples > 0) {
        auto* floats = static_cast<float*>(scratch);
        const Prepared prepared{floats, floats + preparedFloats(p)};
        const dim3 samples(static_cast<unsigned>(p.samples), static_cast<unsigned>(p.query_heads));
        launch("logit weights", prepareKernel, samples, kThreads, 0, stream, p, prepared);
        if (tileBytes<64>(p.width) <= kTileBytes)
            launchPairs<64>(p, prepared, stream);
        else
            launchPairs<16>(p, prepared, stream);
        launch("logit weights", softmaxKernel, samples, kThreads, 0, stream, p);
    }
    launch("logit weights", keySumsKernel, blocksFor(p.kv_heads * p.length), kThreads, 0, stream, p);
    launch("logit weights", headSumsKernel, static_cast<unsigned>(p.kv_heads / p.joint), kThreads, 0, stream,
           p);
}

}  // namespace eigenscope::cuda
