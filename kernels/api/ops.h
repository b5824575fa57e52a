// SPDX-License-Identifier: Apache-2.0
// The ops of a backend: one plain struct each. All pointers are device addresses of contiguous row-major
// arrays unless a stride is given; "activations" are float32. No op allocates: temporary memory comes from
// the stream's scratch. Inputs and outputs do not overlap unless an op says so. Shapes are in brackets.
// Ops at a position take it from device memory when device_position is set: it is read when the op runs, so
// that a queue of ops can be replayed for the next position (Backend::replay). The position in the struct is
// then the largest that may be found there: sizes are checked, and work is shared out, for that one.
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
    SpreadGram,
    LogitWeights,
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
    const std::int64_t* device_position = nullptr;  // see the top of this file
};

// What shares a scale and a minimum in a quantised cache.
enum class KvGrouping : std::uint8_t {
    Token,   // `group` consecutive elements of one row; the last group of a row may be smaller
    Channel  // one element of the rows of `group` consecutive positions, counted from position 0
};

// One layer's keys or values in the cache.
//
// Dense (bits == 0): element (b, h, t, i) is at data + ((b * heads + h) * capacity + t) * width + i, in
// elements of dtype.
//
// Quantised (bits 8, 4, 3 or 2): an element is minimum + scale * code. The codes of row (b, h, t) fill
// kvRowBytes() bytes at data + ((b * heads + h) * capacity + t) * kvRowBytes(); code i is bits [i * bits, (i
// + 1)
// * bits) of them, counted from the lowest bit of the first byte. Scales and minima are float16: for each row
// (b, h, t) [2, groups of the row] when grouped by token, for each group (b, h, t / group) [2, width] when
// grouped by channel: all scales, then all minima. kernels/api/kv_layout.h computes the sizes.
// The last rows may be kept exact as well, in a ring: row (b, h, t) is at exact + ((b * heads + h) *
// exact_capacity + t % exact_capacity) * width, in elements of dtype. Which one a query reads is a matter of
// the positions alone (kvStoredEnd()), never of how the cache was filled.
struct KvView {
    void* data = nullptr;
    DType dtype = DType::F32;
    std::int32_t batch = 1, heads = 0, width = 0;
    std::int64_t capacity = 0;
    std::int32_t bits = 0;
    std::int32_t group = 32;  // a multiple of 8
    KvGrouping grouping = KvGrouping::Token;
    std::int32_t recent = 0;          // positions up to and including the query's own that are read exactly
    void* scales = nullptr;           // float16
    void* exact = nullptr;            // the ring; null when every row is read from its codes
    std::int64_t exact_capacity = 0;  // rows of the ring
};

// cache[b, h, position + t, :] = x[b, t, h, :], converted to the cache's dtype. Quantised: codes of the rows
// (by token) or of the groups of positions that became complete (by channel, from the ring's rows), and the
// ring. With [least, most] a group's range in float32: minimum = least rounded down to float16, scale = (most
// - minimum) / (2^bits - 1) rounded up, code = (x - minimum) / scale rounded to the nearest, ties to even; so
// no element is further off than half a scale (and float32's rounding). What lies beyond float16's range is
// cut to it; a group with an element that is not finite has minimum NaN.
struct KvAppendParams {
    const float* x = nullptr;  // [batch, length, heads, width]
    KvView cache;
    std::int32_t length = 0;
    std::int64_t position = 0;
    const std::int64_t* device_position = nullptr;  // see the top of this file
};

// Rebuilds keys inside attention: k = basis * latent + mean, then rotated to the key's own position (Eigen
// Attention with RoPE, arXiv 2408.05646, section 4.3). Full keys never reach memory.
struct KeyLift {
    const float* basis = nullptr;  // [kv_heads, head_dim, keys.width]
    const float* mean = nullptr;   // [kv_heads, head_dim] or null
    RotaryTable table;             // positions >= kv_length
};

// Causal attention: output[b, m, h] = sum over n <= query_position + m of
// softmax_n(scale * query . key_n + slope_h * (n - query_position - m)) value_n.
// Query head h uses key/value head h / (query_heads / kv_heads). Widths of keys and values may differ. A
// cache may have fewer heads than kv_heads, dividing them: consecutive key/value heads then share its rows (a
// latent of several heads, from which a lift rebuilds each head's keys). Keys and values of a quantised cache
// are read from their codes or exactly, by the rule of KvView. Without a lift query_width equals keys.width;
// with one it is the head dimension and queries come already rotated. With compute BF16 or F16 a backend may
// round queries, keys and weights, and a lift's basis and keys, to that type where it multiplies them, and
// accumulates in float32; one that is exact there is right too.
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
    Compute compute = Compute::F32;
    float* output = nullptr;                        // [batch, query_length, query_heads, values.width]
    const std::int64_t* device_position = nullptr;  // see the top of this file
};

// Adds rows to second-moment statistics in float64: gram[g] += sum over rows and over the `group` consecutive
// heads of group g of w x x^T; sum[g] += sum of w x. The weight w of a row of a head is 1 unless weights are
// given; a row of weight zero then adds nothing, whatever it holds.
struct GramParams {
    const float* x = nullptr;  // [rows, heads, width]
    std::int64_t rows = 0;
    std::int32_t heads = 0, width = 0, group = 1;  // group divides heads
    double* gram = nullptr;                        // [heads / group, width, width], symmetric
    double* sum = nullptr;                         // [heads / group, width] or null
    const double* weights = nullptr;               // [heads, rows], none negative, or null
};

// The same for rows as they look from a distance: row m = positions[s] stands for its copies R(t) x_m, t = 0
// to m, of which copy t has weight weights[h, s, t]; gram[g] += sum over samples s, copies t and the heads h
// of group g of w R(t) x_m (R(t) x_m)^T. With R the rotation that the table gives for position t, these are
// queries m as unrotated keys m - t see them. With a window only copies t < window count.
struct SpreadGramParams {
    const float* x = nullptr;  // [length, heads, width]
    std::int64_t length = 0;
    std::int32_t heads = 0, width = 0, group = 1;  // group divides heads
    const std::int32_t* positions = nullptr;       // [samples], each in [0, length)
    std::int32_t samples = 0;
    std::int32_t window = 0;
    RotaryTable table;                // of length positions; rotary_dim 0: copies are all alike
    const double* weights = nullptr;  // [heads, samples, length], none negative
    double* gram = nullptr;           // [heads / group, width, width], symmetric
};

// What a change of a logit does to a head's output, for the queries at positions[s] and the keys that they
// see: with a = softmax over n of scale * R(m) q_m . R(n) k_n + slope_h (n - m), m = positions[s],
// w(h, s, n) = a^2 |(v_n - o_m) root_h|^2. Query head h uses key/value head h / (query_heads / kv_heads).
// Logits and differences are float32, the softmax and the weights float64.
struct LogitWeightsParams {
    std::int64_t length = 0;
    std::int32_t query_heads = 0, kv_heads = 0, width = 0;
    const float* queries = nullptr;           // [length, query_heads, width], not rotated
    const float* keys = nullptr;              // [length, kv_heads, width], not rotated
    const float* values = nullptr;            // [length, kv_heads, width]
    const float* outputs = nullptr;           // [length, query_heads, width]
    const float* roots = nullptr;             // [query_heads, width, width]
    const std::int32_t* positions = nullptr;  // [samples], each in [0, length)
    std::int32_t samples = 0;
    std::int32_t window = 0;  // as attention's
    float scale = 1.0f;
    RotaryTable table;                    // of length positions; rotary_dim 0: nothing is rotated
    const float* alibi_slopes = nullptr;  // [query_heads] or null
    std::int32_t joint = 1;               // consecutive key/value heads whose weights are also added up
    double* weights = nullptr;     // [query_heads, samples, length]: of key m - t at t; undefined for t > m
    double* by_query = nullptr;    // [query_heads, samples]: sum over keys
    double* by_key = nullptr;      // [kv_heads, length]: sum over samples and query heads
    double* joint_keys = nullptr;  // [kv_heads / joint, length] or null: by_key, `joint` heads added up
    double* total = nullptr;       // [kv_heads]: += sum over keys of by_key
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
