// SPDX-License-Identifier: Apache-2.0
#include "core/model/layer_pass.h"

#include <initializer_list>
#include <optional>
#include <utility>

namespace eigenscope {

NormParams LayerPass::norm(const Norm& norm, const float* x, float* y, std::int64_t width) const {
    return {.kind = m_config.norm,
            .x = x,
            .weight = norm.weight.empty() ? nullptr : norm.weight.f32(),
            .bias = norm.bias.empty() ? nullptr : norm.bias.f32(),
            .y = y,
            .rows = m_rows,
            .width = width,
            .epsilon = m_config.norm_epsilon};
}

GemmParams LayerPass::product(const Linear& linear, const float* x, float* y, bool accumulate) const {
    return {.x = x,
            .weight = linear.weight.data(),
            .weight_dtype = linear.weight.dtype(),
            .bias = linear.bias.empty() ? nullptr : linear.bias.f32(),
            .y = y,
            .m = m_rows,
            .n = linear.outputs(),
            .k = linear.inputs(),
            .accumulate = accumulate,
            .compute = m_state.options.compute};
}

RopeParams LayerPass::rotation(float* x, int heads) const {
    return {.x = x,
            .batch = m_cache.batch(),
            .length = m_count,
            .heads = heads,
            .head_dim = m_config.head_dim,
            .first_position = m_at.position,
            .table = m_rotary,
            .device_position = m_at.device};
}

KvAppendParams LayerPass::append(const float* x, const KvView& cache) const {
    return {
        .x = x, .cache = cache, .length = m_count, .position = m_at.position, .device_position = m_at.device};
}

ProjectParams LayerPass::blockProducts(const Norm& before, NormParams& normed,
                                       std::initializer_list<std::pair<const Linear*, float*>> products) {
    ProjectParams params;
    const float* x = m_hidden;
    if (!m_config.norm_after) {
        normed = norm(before, m_hidden, m_state.f32(m_layout.normed), m_config.hidden_size);
        params.norm = &normed;
        x = normed.y;
    }
    for (const auto& [linear, y] : products)
        params.products[static_cast<std::size_t>(params.count++)] = product(*linear, x, y, false);
    return params;
}

void LayerPass::endBlock(const Norm& after) {
    if (m_config.norm_after)
        m_backend.norm(m_stream, norm(after, m_hidden, m_hidden, m_config.hidden_size));
}

// Queries, keys and values as attention takes them, before rotation. Limits come before norms, as MPT has
// them.
void LayerPass::project(float* query, float* key, float* value) {
    const AttentionWeights& weights = m_weights.attention;
    NormParams normed;
    m_backend.project(m_stream,
                      blockProducts(m_weights.attention_norm, normed,
                                    {{&weights.query, query}, {&weights.key, key}, {&weights.value, value}}));
    if (m_config.qkv_clip > 0.0f) {
        for (const auto& [linear, y] : {std::pair{&weights.query, query}, std::pair{&weights.key, key},
                                        std::pair{&weights.value, value}}) {
            m_backend.activate(m_stream, {.kind = ActivateParams::Kind::Clamp,
                                          .x = y,
                                          .y = y,
                                          .count = m_rows * linear->outputs(),
                                          .limit = m_config.qkv_clip});
        }
    }
    if (m_config.qk_norm) {
        m_backend.norm(m_stream, norm(weights.query_norm, query, query, weights.query.outputs()));
        m_backend.norm(m_stream, norm(weights.key_norm, key, key, weights.key.outputs()));
    }
}

void LayerPass::rotateAndAppend(float* query, float* key, const float* value, Session::State* observed) {
    const AttentionWeights& weights = m_weights.attention;
    const bool rotary = m_config.position == PositionKind::Rotary;
    const bool rotates_keys = rotary && weights.lift_basis.empty();  // lifted keys are rotated in attention
    m_traced_query = query;
    m_traced_key = key;
    const auto keep = [&](const float* x, std::shared_ptr<Buffer>& place, std::int64_t width) {
        const std::size_t bytes = static_cast<std::size_t>(m_rows * width) * sizeof(float);
        float* copy = observed->atLeast(place, bytes);
        m_backend.copy(m_stream, copy, x, bytes);
        return copy;
    };
    if (observed != nullptr && rotary)
        m_traced_query = keep(query, observed->traced_query, weights.query.outputs());
    if (observed != nullptr && rotates_keys)
        m_traced_key = keep(key, observed->traced_key, weights.key.outputs());

    const RopeParams query_rotation = rotation(query, m_config.query_heads);
    const RopeParams key_rotation = rotation(key, m_config.kv_heads);
    m_backend.rotateAndAppend(m_stream, {.query_rotation = rotary ? &query_rotation : nullptr,
                                         .key_rotation = rotates_keys ? &key_rotation : nullptr,
                                         .keys = append(key, m_cache.keys(m_layer)),
                                         .values = append(value, m_cache.values(m_layer))});
}

void LayerPass::attention(Session::State* observed) {
    const AttentionWeights& weights = m_weights.attention;
    float* query = m_state.f32(m_layout.query);
    float* key = m_state.f32(m_layout.key);
    float* value = m_state.f32(m_layout.value);
    float* output = m_state.f32(m_layout.output);
    project(query, key, value);
    rotateAndAppend(query, key, value, observed);

    std::optional<KeyLift> lift;
    if (!weights.lift_basis.empty()) {
        lift = {weights.lift_basis.f32(), weights.lift_mean.empty() ? nullptr : weights.lift_mean.f32(),
                m_rotary};
    }
    m_backend.attention(m_stream,
                        {.batch = m_cache.batch(),
                         .query_heads = m_config.query_heads,
                         .kv_heads = lift ? m_config.kv_heads : m_config.cachedHeads(),
                         .query_width = weights.query_width,
                         .query_length = m_count,
                         .query_position = m_at.position,
                         .window = m_config.window(m_layer),
                         .scale = m_config.attention_scale,
                         .query = query,
                         .keys = m_cache.keys(m_layer),
                         .values = m_cache.values(m_layer),
                         .alibi_slopes = m_model.alibi_slopes.empty() ? nullptr : m_model.alibi_slopes.f32(),
                         .lift = lift ? &*lift : nullptr,
                         .compute = m_state.options.compute,
                         .output = output,
                         .device_position = m_at.device});
    m_backend.gemm(m_stream, product(weights.output, output, m_hidden, true));
    endBlock(m_weights.attention_norm);
}

AttentionTrace LayerPass::trace() const {
    const AttentionWeights& weights = m_weights.attention;
    // TensorView has no read-only form; observers only read.
    const auto view = [&](const float* x, int heads, int width) {
        return TensorView{const_cast<float*>(x), DType::F32, {m_rows, heads, width}};
    };
    return {view(m_traced_query, m_config.query_heads, weights.query_width),
            view(m_traced_key, m_config.cachedHeads(), weights.key_width),
            view(m_state.f32(m_layout.value), m_config.cachedHeads(), weights.value_width),
            view(m_state.f32(m_layout.output), m_config.query_heads, weights.value_width)};
}

void LayerPass::mlp() {
    float* up = m_state.f32(m_layout.up);
    float* gate = m_config.gated_mlp ? m_state.f32(m_layout.gate) : nullptr;
    float* activated = gate != nullptr ? gate : up;
    NormParams normed;
    MlpParams params;
    params.project = gate != nullptr ? blockProducts(m_weights.mlp_norm, normed,
                                                     {{&m_weights.gate, gate}, {&m_weights.up, up}})
                                     : blockProducts(m_weights.mlp_norm, normed, {{&m_weights.up, up}});
    params.activate = {.kind = m_config.activation,
                       .x = activated,
                       .gate = gate != nullptr ? up : nullptr,
                       .y = activated,
                       .count = m_rows * m_config.intermediate_size};
    params.down = product(m_weights.down, activated, m_hidden, true);
    m_backend.mlp(m_stream, params);
    endBlock(m_weights.mlp_norm);
}

}  // namespace eigenscope
