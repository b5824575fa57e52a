// SPDX-License-Identifier: Apache-2.0
#include "core/model/decode_step.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

namespace eigenscope {

namespace {

class Signature {
public:
    template <typename... Values>
    void add(const Values&... values) {
        (addOne(values), ...);
    }
    void add(const KvView& v) {
        add(v.data, v.dtype, v.batch, v.heads, v.width, v.capacity, v.bits, v.group, v.grouping, v.recent,
            v.scales, v.exact, v.exact_capacity);
    }
    std::vector<std::byte> take() { return std::move(m_bytes); }

private:
    template <typename Value>
    void addOne(const Value& value) {
        static_assert(std::is_scalar_v<Value>);  // a struct's padding would be anything
        const auto* bytes = reinterpret_cast<const std::byte*>(&value);
        m_bytes.insert(m_bytes.end(), bytes, bytes + sizeof(Value));
    }
    std::vector<std::byte> m_bytes;
};

// The same number for the same model as long as it lives, and no other's.
std::uint64_t numberOf(Session::State& state, const std::shared_ptr<const Model>& model) {
    std::erase_if(state.replayed_models, [](const auto& known) { return known.model.expired(); });
    for (const auto& known : state.replayed_models) {
        if (known.model.lock() == model) {
            return known.number;
        }
    }
    state.replayed_models.push_back({model, ++state.model_count});
    return state.model_count;
}

}  // namespace

std::int64_t replayedLength(std::int64_t length, std::int64_t most) {
    std::int64_t step = 64;
    while (step * 16 <= length) {
        step *= 2;
    }
    return std::min((length + step - 1) / step * step, most);
}

StepPosition uploadStep(Session::State& state, const ModelConfig& config, const KvCache& cache) {
    const StepInputs inputs{cache.length(), static_cast<TokenId>(config.position_offset + cache.length())};
    std::byte* device = state.at(state.layout.step);
    state.backend->upload(*state.stream, device, &inputs, sizeof inputs);
    const std::int64_t most = std::min<std::int64_t>(cache.capacity(), config.max_positions);
    return {replayedLength(cache.length() + 1, most) - 1,
            reinterpret_cast<const std::int64_t*>(device + offsetof(StepInputs, position)),
            reinterpret_cast<const TokenId*>(device + offsetof(StepInputs, learned))};
}

std::vector<std::byte> stepSignature(Session::State& state, const std::shared_ptr<const Model>& model,
                                     const KvCache& cache, const StepPosition& at, LogitsOf which) {
    Signature signature;
    signature.add(numberOf(state, model), which, at.position);
    // The session's memory; where in it things are is the session's for good.
    const auto address = [](const std::shared_ptr<Buffer>& buffer) -> const void* {
        return buffer ? buffer->data() : nullptr;
    };
    signature.add(address(state.arena), state.layout.bytes, address(state.logits), address(state.rotary),
                  state.rotary_positions, state.options.compute);
    signature.add(cache.batch(), cache.capacity());
    for (int layer = 0; layer < model->config.layers; ++layer) {
        signature.add(cache.keys(layer));
        signature.add(cache.values(layer));
    }
    return signature.take();
}

}  // namespace eigenscope
