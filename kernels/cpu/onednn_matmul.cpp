// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/onednn_matmul.h"

#include <omp.h>
#include <dnnl.hpp>

#include <string>
#include <unordered_map>

namespace eigenscope::cpu {
namespace {

using Memory = dnnl::memory;

// oneDNN takes its thread count from the calling thread, when a primitive is built and when it runs.
class OmpThreads {
public:
    explicit OmpThreads(int threads) : m_before(omp_get_max_threads()) { omp_set_num_threads(threads); }
    ~OmpThreads() { omp_set_num_threads(m_before); }
    OmpThreads(const OmpThreads&) = delete;
    OmpThreads& operator=(const OmpThreads&) = delete;

private:
    int m_before;
};

[[noreturn]] void fail(const MatmulShape& s, const dnnl::error& e) {
    const std::string shape = std::to_string(s.m) + " x " + std::to_string(s.n) + " x " + std::to_string(s.k);
    const bool memory = e.status == dnnl_out_of_memory;
    throw Error(memory ? ErrorCode::OutOfMemory : ErrorCode::Device,
                "gemm: oneDNN failed on a product of " + shape + ": " + e.message);
}

}  // namespace

bool hasNativeBf16() {
    // The enumeration is not ordered by ability alone, so the sets without bfloat16 are named.
    switch (dnnl::get_effective_cpu_isa()) {
        case dnnl::cpu_isa::avx512_core_bf16:
        case dnnl::cpu_isa::avx512_core_amx:
            return true;
        default:
            return false;
    }
}

struct MatmulCache::Engine {
    dnnl::engine engine{dnnl::engine::kind::cpu, 0};
};

struct MatmulCache::Entry {
    dnnl::matmul primitive;
    Memory::desc x, weight, bias, y, scratchpad;
};

MatmulCache::MatmulCache() : m_engine(std::make_unique<Engine>()) {}
MatmulCache::~MatmulCache() = default;

std::shared_ptr<const MatmulCache::Entry> MatmulCache::build(const MatmulShape& s) const {
    const auto type = s.dtype == DType::BF16 ? Memory::data_type::bf16 : Memory::data_type::f32;
    auto entry = std::make_shared<Entry>();
    entry->x = Memory::desc({s.m, s.k}, type, Memory::dims{s.k, 1});
    entry->weight = Memory::desc({s.k, s.n}, type, Memory::dims{1, s.k});
    entry->y = Memory::desc({s.m, s.n}, Memory::data_type::f32, Memory::dims{s.stride, 1});
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (s.accumulate) {
        dnnl::post_ops sum;
        sum.append_sum(1.0f);
        attributes.set_post_ops(sum);
    }
    if (s.bias)
        entry->bias = Memory::desc({1, s.n}, Memory::data_type::f32, Memory::dims{s.n, 1});
    const auto operation = s.bias ? dnnl::matmul::desc(entry->x, entry->weight, entry->bias, entry->y)
                                  : dnnl::matmul::desc(entry->x, entry->weight, entry->y);
    const dnnl::matmul::primitive_desc description(operation, attributes, m_engine->engine);
    entry->scratchpad = description.scratchpad_desc();
    entry->primitive = dnnl::matmul(description);
    return entry;
}

std::shared_ptr<const MatmulCache::Entry> MatmulCache::find(const MatmulShape& shape) {
    {
        const std::lock_guard lock(m_mutex);
        if (const auto it = m_index.find(shape); it != m_index.end()) {
            m_recent.splice(m_recent.begin(), m_recent, it->second);
            return it->second->second;
        }
    }
    auto entry = build(shape);  // outside the lock: it may take milliseconds
    const std::lock_guard lock(m_mutex);
    if (m_index.contains(shape))
        return entry;  // another thread was faster; its copy stays
    m_recent.emplace_front(shape, entry);
    m_index[shape] = m_recent.begin();
    if (m_recent.size() > kCapacity) {
        m_index.erase(m_recent.back().first);
        m_recent.pop_back();
    }
    return entry;
}

void MatmulCache::run(CpuStream& stream, const MatmulShape& shape, const void* x, const void* weight,
                      const float* bias, float* y) {
    const OmpThreads threads(shape.threads);
    try {
        const auto entry = find(shape);
        const dnnl::engine& engine = m_engine->engine;
        const Arena::Mark mark = stream.arena().mark();
        auto* scratch =
            stream.arena().take<std::byte>(static_cast<std::int64_t>(entry->scratchpad.get_size()));
        dnnl::stream queue(engine);
        std::unordered_map<int, Memory> arguments{
            {DNNL_ARG_SRC, Memory(entry->x, engine, const_cast<void*>(x))},
            {DNNL_ARG_WEIGHTS, Memory(entry->weight, engine, const_cast<void*>(weight))},
            {DNNL_ARG_DST, Memory(entry->y, engine, y)},
            {DNNL_ARG_SCRATCHPAD, Memory(entry->scratchpad, engine, scratch)}};
        if (shape.bias)
            arguments.emplace(DNNL_ARG_BIAS, Memory(entry->bias, engine, const_cast<float*>(bias)));
        entry->primitive.execute(queue, arguments);
        queue.wait();
        stream.arena().release(mark);
    } catch (const dnnl::error& e) {
        fail(shape, e);
    }
}

}  // namespace eigenscope::cpu
