// SPDX-License-Identifier: Apache-2.0
// The ops of a backend: one plain struct each. All pointers are device addresses of contiguous row-major
// arrays unless a stride is given; "activations" are float32. No op allocates: temporary memory comes from
// the stream's scratch. Inputs and outputs do not overlap unless an op says so. Shapes are in brackets.
#pragma once

#include "kernels/api/dtype.h"

#include <cstdint>

namespace eigenscope {

using TokenId = std::int32_t;

enum class Op : std::uint8_t {
    Gemm,
    Embed,
    Norm,
    Activate,
    Add,
    Rope,
    KvAppend,
    Attention,
    Gram,
    Eigh,
    Nll,
    Argmax,
    Convert
};
const char* nameOf(Op op);

// Arithmetic of matrix products: F32 is exact single precision; BF16/F16 round both factors first and
// accumulate in float32. A backend that is asked for one it does not do well says so in supports().
enum class Compute : std::uint8_t { F32, F16, BF16 };

// y[m, n] = x[m, k] weight[n, k]^T (+ bias[n]) (+ y when accumulate, which is how residuals are added).
struct GemmParams {
    const float* x = nullptr;      // [m, k]
    const void* weight = nullptr;  // [n, k] of weight_dtype
    DType weight_dtype = DType::F32;
    const float* bias = nullptr;  // [n] or null
    float* y = nullptr;           // [m, n]
    std::int64_t m = 0, n = 0, k = 0;
    bool accumulate = false;
    Compute compute = Compute::F32;
};

// y[i, :] = table[ids[i], :] (+ y when accumulate). Every id is in [0, rows); the caller has checked.
struct EmbedParams {
    const void* table = nullptr;  // [rows, width] of table_dtype
    DType table_dtype = DType::F32;
    std::int64_t rows = 0, width = 0;
    const TokenId* ids = nullptr;  // [count]
    std::int64_t count = 0;
    float* y = nullptr;  // [count, width]
    bool accumulate = false;
};

// LayerNorm: (x - mean) / sqrt(var + eps) * weight + bias. RmsNorm: x / sqrt(mean(x^2) + eps) * weight.
struct NormParams {
    enum class Kind : std::uint8_t { LayerNorm, RmsNorm } kind = Kind::LayerNorm;
    const float* x = nullptr;       // [rows, width]
    const float* weight = nullptr;  // [width] or null (ones)
    const float* bias = nullptr;    // [width] or null (zeros)
    float* y = nullptr;             // [rows, width]; may equal x
    std::int64_t rows = 0, width = 0;
    float epsilon = 1e-5f;
};

// y = f(x), or y = f(x) * gate. Gelu is the exact form with erf; GeluTanh the usual approximation; Silu
// x*sigmoid(x); Clamp min(max(x, -limit), limit).
struct ActivateParams {
    enum class Kind : std::uint8_t { Relu, Gelu, GeluTanh, Silu, Clamp } kind = Kind::Relu;
    const float* x = nullptr;     // [count]
    const float* gate = nullptr;  // [count] or null
    float* y = nullptr;           // [count]; may equal x
    std::int64_t count = 0;
    float limit = 0.0f;  // Clamp only; not negative
};

// y += x.
struct AddParams {
    const float* x = nullptr;  // [count]
    float* y = nullptr;        // [count]
    std::int64_t count = 0;
};

// Rotary tables: cos and sin of position * frequency, [positions, rotary_dim / 2].
struct RotaryTable {
    const float* cos = nullptr;
    const float* sin = nullptr;
    std::int64_t positions = 0;
    std::int32_t rotary_dim =
        0;  // even; the first rotary_dim elements of a head are rotated, element i with i + rotary_dim/2
};

// Rotates x in place; row t of each sequence is at position first_position + t. RoFormer, arXiv 2104.09864,
// in the half-split order of the Llama implementation.
struct RopeParams {
    float* x = nullptr;  // [batch, length, heads, head_dim]
    std::int32_t batch = 1, length = 0, heads = 0, head_dim = 0;
    std::int64_t first_position = 0;
    RotaryTable table;
};

// One layer's keys or values in the cache. Element (b, h, t, i) is at
// data + ((b * heads + h) * capacity + t) * width + i, in elements of dtype.
struct KvView {
    void* data = nullptr;
    DType dtype = DType::F32;
    std::int32_t batch = 1, heads = 0, width = 0;
    std::int64_t capacity = 0;
};

// cache[b, h, position + t, :] = x[b, t, h, :], converted to the cache's dtype.
struct KvAppendParams {
    const float* x = nullptr;  // [batch, length, heads, width]
    KvView cache;
    std::int32_t length = 0;
    std::int64_t position = 0;
};

// Rebuilds keys inside attention: k = basis * latent + mean, then rotated to the key's own position (Eigen
// Attention with RoPE, arXiv 2408.05646, section 4.3). Full keys never reach memory.
struct KeyLift {
    const float* basis = nullptr;  // [kv_heads, head_dim, key_width]
    const float* mean = nullptr;   // [kv_heads, head_dim] or null
    RotaryTable table;             // positions >= kv_length
};

// Causal attention: output[b, m, h] = sum over n <= query_position + m of
// softmax_n(scale * query . key_n + slope_h * (n - query_position - m)) value_n.
// Query head h uses key/value head h / (query_heads / kv_heads). Widths of keys and values may differ.
// Without a lift query_width equals keys.width; with one it is the head dimension and queries come already
// rotated.
struct AttentionParams {
    std::int32_t batch = 1, query_heads = 0, kv_heads = 0, query_width = 0;
    std::int32_t query_length = 0;
    std::int64_t query_position = 0;  // of row 0; the cache holds query_position + query_length rows
    std::int32_t window =
        0;  // > 0: only the last `window` positions up to and including the query's own are seen
    float scale = 1.0f;
    const float* query = nullptr;  // [batch, query_length, query_heads, query_width]
    KvView keys, values;
    const float* alibi_slopes = nullptr;  // [query_heads] or null (ALiBi, arXiv 2108.12409)
    const KeyLift* lift = nullptr;        // host struct of device pointers, or null
    float* output = nullptr;              // [batch, query_length, query_heads, values.width]
};

// Adds rows to second-moment statistics in float64: gram[g] += sum over rows and over the `group` consecutive
// heads of group g of x x^T; sum[g] += sum of x.
struct GramParams {
    const float* x = nullptr;  // [rows, heads, width]
    std::int64_t rows = 0;
    std::int32_t heads = 0, width = 0, group = 1;  // group divides heads
    double* gram = nullptr;                        // [heads / group, width, width], symmetric
    double* sum = nullptr;                         // [heads / group, width] or null
};

// Symmetric eigen-decomposition, eigenvalues in descending order; column j of vectors belongs to eigenvalue
// j.
struct EighParams {
    const double* a = nullptr;  // [count, n, n]
    double* values = nullptr;   // [count, n]
    double* vectors = nullptr;  // [count, n, n] or null
    std::int64_t count = 0, n = 0;
};

// nll[i] = log sum_j exp(logits[i, j]) - logits[i, targets[i]]; a target < 0 gives 0.
struct NllParams {
    const float* logits = nullptr;     // [rows, vocab]
    const TokenId* targets = nullptr;  // [rows]
    double* nll = nullptr;             // [rows]
    std::int64_t rows = 0, vocab = 0;
};

// index[i] = the smallest j with the largest logits[i, j].
struct ArgmaxParams {
    const float* logits = nullptr;  // [rows, vocab]
    TokenId* index = nullptr;       // [rows]
    std::int64_t rows = 0, vocab = 0;
};

// Copies count elements, changing the dtype.
struct ConvertParams {
    const void* x = nullptr;
    DType x_dtype = DType::F32;
    void* y = nullptr;
    DType y_dtype = DType::F32;
    std::int64_t count = 0;
};

}  // namespace eigenscope
