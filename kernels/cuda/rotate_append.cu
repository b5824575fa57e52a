// SPDX-License-Identifier: Apache-2.0
// Rotations and appends of a layer in one pass: a warp a row of a head, of queries, then keys, then values.
// Keys are rotated on their way into the cache. Bound by memory.
#include "kernels/cuda/cache_rows.cuh"
#include "kernels/cuda/cuda_kernels.h"
#include "kernels/cuda/device_position.cuh"
#include "kernels/cuda/launch.cuh"

namespace eigenscope::cuda {

namespace {

constexpr int kWarp = 32;

struct RotateAppendTask {
    RopeParams queries, rotation;  // `rotation` is of keys
    KvAppendParams keys, values;
    std::int64_t query_rows, key_rows, value_rows;
    bool rotates_keys, vectors;  // vectors: rows of keys and values can be copied four elements at a time
};

// Elements i and i + half of a head, rotated and given to `store`.
template <typename Store>
__device__ void rotateRow(const float* x, const RotaryTable& table, std::int64_t position, int lane,
                          Store store) {
    const int half = table.rotary_dim / 2;
    for (int i = lane; i < half; i += kWarp) {
        const float c = table.cos[position * half + i], s = table.sin[position * half + i];
        const float low = x[i], high = x[i + half];
        store(i, low * c - high * s, high * c + low * s);
    }
}

template <typename T>
__device__ void appendRow(const KvAppendParams& p, std::int64_t row, std::int64_t position, bool vectors,
                          const RotaryTable* rotation, int lane) {
    const KvView& v = p.cache;
    const AppendedRow at = locateRow(row, p.length, v.heads);
    const float* x = p.x + row * v.width;
    T* to = static_cast<T*>(v.data) + (at.head * v.capacity + position + at.t) * v.width;
    if (rotation)
        rotateRow(x, *rotation, position + at.t, lane, [&](int i, float low, float high) {
            to[i] = fromFloat<T>(low);
            to[i + v.width / 2] = fromFloat<T>(high);
        });
    else if (vectors)
        copyRow<T, 4>(x, to, v.width, lane);
    else
        copyRow<T, 1>(x, to, v.width, lane);
}

template <typename T>
__global__ void rotateAppendKernel(RotateAppendTask task) {
    const int lane = static_cast<int>(threadIdx.x % kWarp);
    const std::int64_t position = appendPosition(task.keys);
    const std::int64_t keys_end = task.query_rows + task.key_rows, rows = keys_end + task.value_rows;
    for (std::int64_t row = firstIndex() / kWarp; row < rows; row += indexStep() / kWarp) {
        if (row < task.query_rows) {
            const RopeParams& q = task.queries;
            const AppendedRow at = locateRow(row, q.length, q.heads);
            float* x = q.x + row * q.head_dim;
            rotateRow(x, q.table, position + at.t, lane, [&](int i, float low, float high) {
                x[i] = low;
                x[i + q.head_dim / 2] = high;
            });
        } else if (row < keys_end) {
            appendRow<T>(task.keys, row - task.query_rows, position, task.vectors,
                         task.rotates_keys ? &task.rotation.table : nullptr, lane);
        } else {
            appendRow<T>(task.values, row - keys_end, position, task.vectors, nullptr, lane);
        }
    }
}

std::int64_t rowsOf(const KvAppendParams& p) {
    return std::int64_t{1} * p.cache.batch * p.length * p.cache.heads;
}

bool inVectors(const KvAppendParams& p) {
    return p.cache.width % 4 == 0 && alignedTo(p.x, 16) && alignedTo(p.cache.data, 4 * sizeOf(p.cache.dtype));
}

}  // namespace

bool canRotateAndAppend(const RotateAndAppendParams& p) {
    for (const RopeParams* rotation : {p.query_rotation, p.key_rotation})
        if (rotation && rotation->table.rotary_dim != rotation->head_dim)
            return false;
    return p.keys.cache.bits == 0 && p.values.cache.bits == 0 && p.keys.cache.dtype == p.values.cache.dtype;
}

void launchRotateAndAppend(const RotateAndAppendParams& p, cudaStream_t stream) {
    RotateAppendTask task{};
    if (p.query_rotation) {
        task.queries = *p.query_rotation;
        task.query_rows = std::int64_t{1} * task.queries.batch * task.queries.length * task.queries.heads;
    }
    task.rotates_keys = p.key_rotation != nullptr;
    if (p.key_rotation)
        task.rotation = *p.key_rotation;
    task.keys = p.keys;
    task.values = p.values;
    task.key_rows = rowsOf(p.keys);
    task.value_rows = rowsOf(p.values);
    task.vectors = inVectors(p.keys) && inVectors(p.values);
    const std::int64_t rows = task.query_rows + task.key_rows + task.value_rows;
    if (rows == 0)
        return;
    withType(p.keys.cache.dtype, [&](auto type) {
        launch("rotate and append", rotateAppendKernel<decltype(type)>, blocksFor(rows * kWarp), kThreads, 0,
               stream, task);
    });
}

}  // namespace eigenscope::cuda
