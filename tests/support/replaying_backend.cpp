// SPDX-License-Identifier: Apache-2.0
#include "tests/support/replaying_backend.h"

#include "kernels/reference/reference_backend.h"

#include <sstream>

namespace eigenscope::test {

namespace {

// Fields one behind the other; enums as numbers, addresses as they are.
template <typename... Fields>
std::string textOf(const char* op, const Fields&... fields) {
    std::ostringstream text;
    text << op;
    const auto add = [&](const auto& field) {
        using Field = std::decay_t<decltype(field)>;
        text << ' ';
        if constexpr (std::is_enum_v<Field>)
            text << static_cast<int>(field);
        else if constexpr (std::is_pointer_v<Field>)
            text << static_cast<const void*>(field);
        else
            text << field;
    };
    (add(fields), ...);
    return text.str();
}

std::string textOf(const KvView& v) {
    return textOf("[cache", v.data, v.dtype, v.batch, v.heads, v.width, v.capacity, v.bits, v.group,
                  v.grouping, v.recent, v.scales, v.exact, v.exact_capacity) +
           "]";
}
std::string textOf(const RotaryTable& t) {
    return textOf("[table", t.cos, t.sin, t.positions, t.rotary_dim) + "]";
}

class LimitedBuffer final : public Buffer {
public:
    LimitedBuffer(std::shared_ptr<Buffer> buffer, std::shared_ptr<std::size_t> allocated)
        : m_buffer(std::move(buffer)), m_allocated(std::move(allocated)) {
        *m_allocated += m_buffer->bytes();
    }
    ~LimitedBuffer() override { *m_allocated -= m_buffer->bytes(); }
    void* data() const override { return m_buffer->data(); }
    std::size_t bytes() const override { return m_buffer->bytes(); }

private:
    std::shared_ptr<Buffer> m_buffer;
    std::shared_ptr<std::size_t> m_allocated;
};

}  // namespace

ReplayingBackend::ReplayingBackend() : m_host(createReferenceBackend()) {
    m_info = m_host->info();
    m_info.replays = true;
}

MemoryStats ReplayingBackend::memory() const {
    return memory_limit ? MemoryStats{memory_limit, memory_limit - *m_allocated} : m_host->memory();
}

std::shared_ptr<Buffer> ReplayingBackend::allocate(std::size_t bytes) {
    refuse("an allocation");
    if (memory_limit && bytes > memory_limit - *m_allocated)
        throw Error(ErrorCode::OutOfMemory, "cannot allocate " + std::to_string(bytes) + " bytes");
    return std::make_shared<LimitedBuffer>(m_host->allocate(bytes), m_allocated);
}

void ReplayingBackend::refuse(const char* what) {
    if (m_mode != Mode::Run)
        mistakes.push_back(std::string(what) + " while ops are recorded");
}

void ReplayingBackend::upload(Stream& stream, void* device, const void* host, std::size_t bytes) {
    refuse("an upload");
    m_host->upload(stream, device, host, bytes);
}
void ReplayingBackend::download(Stream& stream, void* host, const void* device, std::size_t bytes) {
    refuse("a download");
    m_host->download(stream, host, device, bytes);
}

void ReplayingBackend::replay(Stream& stream, std::span<const std::byte> signature,
                              const std::function<void()>& queue) {
    const std::vector<std::byte> key(signature.begin(), signature.end());
    const auto found = m_kept.find(key);
    m_queued.clear();
    if (found == m_kept.end()) {
        ++recorded;
        m_mode = Mode::Record;
        queue();
        m_mode = Mode::Run;
        m_kept[key] = m_queued;
        return;
    }
    ++replayed;
    if (checks) {
        m_mode = Mode::Compare;
        queue();
        m_mode = Mode::Run;
        if (m_queued.size() != found->second.size())
            mistakes.push_back("another number of ops under one signature");
        for (std::size_t i = 0; i < std::min(m_queued.size(), found->second.size()); ++i)
            if (m_queued[i].text != found->second[i].text)
                mistakes.push_back("under one signature: " + found->second[i].text + " and " +
                                   m_queued[i].text);
    }
    for (const Step& step : found->second)
        step.run(stream);
}

void ReplayingBackend::take(Stream& stream, std::string text, std::function<void(Stream&)> run) {
    if (m_mode != Mode::Compare)
        run(stream);
    if (m_mode != Mode::Run)
        m_queued.push_back({std::move(text), std::move(run)});
}

void ReplayingBackend::copy(Stream& stream, void* to, const void* from, std::size_t bytes) {
    take(stream, textOf("copy", to, from, bytes), [=, this](Stream& s) { m_host->copy(s, to, from, bytes); });
}
void ReplayingBackend::gemm(Stream& stream, const GemmParams& p) {
    take(stream,
         textOf("gemm", p.x, p.weight, p.weight_dtype, p.bias, p.y, p.m, p.n, p.k, p.accumulate, p.compute),
         [=, this](Stream& s) { m_host->gemm(s, p); });
}
void ReplayingBackend::embed(Stream& stream, const EmbedParams& p) {
    take(stream, textOf("embed", p.table, p.table_dtype, p.rows, p.width, p.ids, p.count, p.y, p.accumulate),
         [=, this](Stream& s) { m_host->embed(s, p); });
}
void ReplayingBackend::norm(Stream& stream, const NormParams& p) {
    take(stream, textOf("norm", p.kind, p.x, p.weight, p.bias, p.y, p.rows, p.width, p.epsilon),
         [=, this](Stream& s) { m_host->norm(s, p); });
}
void ReplayingBackend::activate(Stream& stream, const ActivateParams& p) {
    take(stream, textOf("activate", p.kind, p.x, p.gate, p.y, p.count, p.limit),
         [=, this](Stream& s) { m_host->activate(s, p); });
}
void ReplayingBackend::add(Stream& stream, const AddParams& p) {
    take(stream, textOf("add", p.x, p.y, p.count), [=, this](Stream& s) { m_host->add(s, p); });
}
void ReplayingBackend::rope(Stream& stream, const RopeParams& p) {
    take(stream,
         textOf("rope", p.x, p.batch, p.length, p.heads, p.head_dim, p.first_position, p.device_position) +
             textOf(p.table),
         [=, this](Stream& s) { m_host->rope(s, p); });
}
void ReplayingBackend::kvAppend(Stream& stream, const KvAppendParams& p) {
    take(stream, textOf("kvAppend", p.x, p.length, p.position, p.device_position) + textOf(p.cache),
         [=, this](Stream& s) { m_host->kvAppend(s, p); });
}
void ReplayingBackend::attention(Stream& stream, const AttentionParams& p) {
    std::string text = textOf("attention", p.batch, p.query_heads, p.kv_heads, p.query_width, p.query_length,
                              p.query_position, p.window, p.scale, p.query, p.alibi_slopes, p.compute,
                              p.output, p.device_position) +
                       textOf(p.keys) + textOf(p.values);
    const KeyLift lift = p.lift ? *p.lift : KeyLift{};  // the struct ends with the call
    if (p.lift)
        text += textOf("[lift", lift.basis, lift.mean) + textOf(lift.table) + "]";
    const bool lifted = p.lift != nullptr;
    take(stream, std::move(text), [=, this](Stream& s) {
        AttentionParams again = p;
        again.lift = lifted ? &lift : nullptr;
        m_host->attention(s, again);
    });
}

}  // namespace eigenscope::test
