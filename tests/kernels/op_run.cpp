// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/op_run.h"

#include "core/benchmark/device_fill.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>

namespace eigenscope::optest {

namespace {

constexpr std::size_t kGuard = 256;  // bytes before and after an array: more than the widest vector store
constexpr std::byte kGuardByte{0xA5};

std::vector<std::byte> converted(const std::vector<float>& values, DType dtype) {
    std::vector<std::byte> bytes(values.size() * sizeOf(dtype));
    for (std::size_t i = 0; i < values.size(); ++i)
        storeFromF32(bytes.data(), dtype, static_cast<std::int64_t>(i), values[i]);
    return bytes;
}

}  // namespace

OpRun::OpRun(Backend& backend, int threads, std::uint64_t seed, bool misaligned)
    : m_backend(backend),
      m_stream(backend.createStream(threads)),
      m_state(seed * 2 + 1),
      m_misaligned(misaligned) {}

// splitmix64 (Steele, Lea and Flood, 2014): any state is a good state.
std::uint64_t OpRun::next() {
    std::uint64_t z = m_state += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

// Four 16-bit uniform numbers added: close enough to a normal distribution, bounded by 2 sqrt 3 deviations,
// and the same on every machine, which std::normal_distribution is not.
std::vector<float> OpRun::normal(std::int64_t count, float deviation, float mean) {
    std::vector<float> values(static_cast<std::size_t>(count));
    constexpr double kScale = 1.7320508075688772 / 65536.0;  // variance of a sum of four: 4 / 12
    for (float& value : values) {
        const std::uint64_t bits = next();
        const double sum = static_cast<double>((bits & 0xffff) + ((bits >> 16) & 0xffff) +
                                               ((bits >> 32) & 0xffff) + (bits >> 48)) -
                           131070.0;
        value = mean + deviation * static_cast<float>(sum * kScale);
    }
    return values;
}

std::vector<float> OpRun::uniform(std::int64_t count, float low, float high) {
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& value : values)
        value = low + (high - low) * static_cast<float>(static_cast<double>(next() >> 40) * 0x1p-24);
    return values;
}

std::vector<TokenId> OpRun::ids(std::int64_t count, std::int64_t below) {
    std::vector<TokenId> values(static_cast<std::size_t>(count));
    for (TokenId& value : values)
        value = static_cast<TokenId>(next() % static_cast<std::uint64_t>(below));
    return values;
}

OpRun::Kind OpRun::kindOf(DType dtype) {
    return dtype == DType::F32 ? Kind::F32 : dtype == DType::F16 ? Kind::F16 : Kind::BF16;
}

void* OpRun::place(const void* data, std::size_t bytes, Kind kind, const std::string& name,
                   const Bound* bound) {
    constexpr std::size_t kElement[] = {4, 2, 2, 8, 4, 1};
    Array array;
    array.kind = kind;
    array.bytes = bytes;
    array.begin = kGuard + (m_misaligned ? kElement[static_cast<int>(kind)] : 0);
    array.before.assign(array.begin + bytes + kGuard, kGuardByte);
    if (bytes)
        std::memcpy(array.before.data() + array.begin, data, bytes);
    array.buffer = m_backend.allocate(array.before.size());
    m_backend.upload(*m_stream, array.buffer->data(), array.before.data(), array.before.size());
    m_stream->synchronize();  // the host copy may move when m_arrays grows
    if (bound) {
        array.output = static_cast<int>(m_outputs.size());
        m_outputs.push_back({name, *bound, {}});
    }
    void* address = static_cast<char*>(array.buffer->data()) + array.begin;
    m_arrays.push_back(std::move(array));
    return address;
}

const float* OpRun::input(const std::vector<float>& values) {
    return static_cast<const float*>(input(values, DType::F32));
}

const void* OpRun::input(const std::vector<float>& values, DType dtype) {
    const std::vector<std::byte> bytes = converted(values, dtype);
    return place(bytes.data(), bytes.size(), kindOf(dtype), "input", nullptr);
}

const TokenId* OpRun::input(const std::vector<TokenId>& values) {
    return static_cast<const TokenId*>(
        place(values.data(), values.size() * sizeof(TokenId), Kind::Ids, "input", nullptr));
}

float* OpRun::output(const std::string& name, Bound bound, std::int64_t count) {
    return update(name, bound, std::vector<float>(static_cast<std::size_t>(count), std::nanf("")));
}

double* OpRun::outputF64(const std::string& name, Bound bound, std::int64_t count) {
    return updateF64(name, bound, std::vector<double>(static_cast<std::size_t>(count), std::nan("")));
}

TokenId* OpRun::outputIds(const std::string& name, std::int64_t count) {
    const std::vector<TokenId> unset(static_cast<std::size_t>(count), std::numeric_limits<TokenId>::min());
    return static_cast<TokenId*>(
        place(unset.data(), unset.size() * sizeof(TokenId), Kind::Ids, name, &kExact));
}

float* OpRun::update(const std::string& name, Bound bound, const std::vector<float>& values) {
    return static_cast<float*>(update(name, bound, values, DType::F32));
}

void* OpRun::update(const std::string& name, Bound bound, const std::vector<float>& values, DType dtype) {
    const std::vector<std::byte> bytes = converted(values, dtype);
    return place(bytes.data(), bytes.size(), kindOf(dtype), name, &bound);
}

double* OpRun::updateF64(const std::string& name, Bound bound, const std::vector<double>& values) {
    return static_cast<double*>(
        place(values.data(), values.size() * sizeof(double), Kind::F64, name, &bound));
}

void* OpRun::updateBytes(const std::string& name, const std::vector<std::byte>& values) {
    return place(values.data(), values.size(), Kind::Bytes, name, &kExact);
}

const void* OpRun::inputBytes(const std::vector<std::byte>& values) {
    return place(values.data(), values.size(), Kind::Bytes, "input", nullptr);
}

std::vector<std::byte> OpRun::bytes(std::int64_t count) {
    std::vector<std::byte> values(static_cast<std::size_t>(count));
    for (std::byte& value : values)
        value = static_cast<std::byte>(next() >> 56);
    return values;
}

float* OpRun::scratch(std::int64_t count) {
    return scratch(std::vector<float>(static_cast<std::size_t>(count), std::nanf("")));
}

float* OpRun::scratch(const std::vector<float>& values) {
    void* address = place(values.data(), values.size() * sizeof(float), Kind::F32, "scratch", nullptr);
    m_arrays.back().scratch = true;
    return static_cast<float*>(address);
}

void* OpRun::filled(std::int64_t bytes, const std::vector<std::byte>& block) {
    m_filled.push_back(m_backend.allocate(static_cast<std::size_t>(bytes)));
    void* data = m_filled.back()->data();
    fillRepeating(m_backend, *m_stream, data, static_cast<std::size_t>(bytes), block);
    return data;
}

void OpRun::report(const std::string& name, Bound bound, std::vector<double> values) {
    m_outputs.push_back({name, bound, std::move(values)});
}

void OpRun::execute(const std::function<void()>& op) {
    op();
    m_stream->synchronize();
    if (!timing.enabled)
        return;
    using Clock = std::chrono::steady_clock;
    std::vector<double> seconds;
    const auto start = Clock::now();
    const auto elapsed = [](Clock::time_point since) {
        return std::chrono::duration<double>(Clock::now() - since).count();
    };
    const auto round = [&](int calls) {
        const auto begin = Clock::now();
        for (int i = 0; i < calls; ++i)
            op();
        m_stream->synchronize();
        return elapsed(begin) / calls;
    };
    constexpr double kRoundSeconds = 2e-3;
    const double one = round(1);
    const int calls =
        static_cast<int>(std::clamp(std::ceil(kRoundSeconds / std::max(one, 1e-9)), 1.0, 1000.0));
    if (calls == 1)
        seconds.push_back(one);
    while (seconds.size() < 3 || elapsed(start) < timing.seconds_per_case)
        seconds.push_back(round(calls));
    std::sort(seconds.begin(), seconds.end());
    timing.seconds = seconds[seconds.size() / 10];
}

void OpRun::demand(const std::string& what, double value, double limit) {
    if (!(value <= limit))
        m_failures.push_back(what + " is " + std::to_string(value) + "; the limit is " +
                             std::to_string(limit));
}

void OpRun::demandRefusal(const std::string& what, const std::function<void()>& op) {
    try {
        op();
        m_stream->synchronize();
    } catch (const Error& error) {
        if (error.code() != ErrorCode::InvalidInput && error.code() != ErrorCode::Unsupported)
            m_failures.push_back(what + ": refused with the wrong kind of error: " + error.what());
        return;
    }
    m_failures.push_back(what + ": accepted; expected an Error");
}

void OpRun::finish() {
    m_stream->synchronize();
    for (const Array& array : m_arrays) {
        std::vector<std::byte> now(array.before.size());
        m_backend.download(*m_stream, now.data(), array.buffer->data(), now.size());
        const std::size_t end = array.begin + array.bytes;
        const std::string name = array.scratch      ? "scratch memory"
                                 : array.output < 0 ? "an input"
                                                    : m_outputs[static_cast<std::size_t>(array.output)].name;
        if (!std::equal(now.begin(), now.begin() + static_cast<std::ptrdiff_t>(array.begin),
                        array.before.begin()))
            m_failures.push_back("the guard before " + name + " was overwritten");
        if (!std::equal(now.begin() + static_cast<std::ptrdiff_t>(end), now.end(),
                        array.before.begin() + static_cast<std::ptrdiff_t>(end)))
            m_failures.push_back("the guard after " + name + " was overwritten");
        if (array.scratch)
            continue;
        if (array.output < 0) {
            if (now != array.before)
                m_failures.push_back("an input was changed");
            continue;
        }
        std::vector<double>& values = m_outputs[static_cast<std::size_t>(array.output)].values;
        const std::byte* data = now.data() + array.begin;
        const auto read = [&]<typename T>(T) {
            values.resize(array.bytes / sizeof(T));
            for (std::size_t i = 0; i < values.size(); ++i) {
                T value;
                std::memcpy(&value, data + i * sizeof(T), sizeof(T));
                values[i] = static_cast<double>(value);
            }
        };
        switch (array.kind) {
            case Kind::F64:
                read(double{});
                break;
            case Kind::F32:
                read(float{});
                break;
            case Kind::Ids:
                read(TokenId{});
                break;
            case Kind::Bytes:
                read(std::uint8_t{});
                break;
            case Kind::F16:
            case Kind::BF16:
                values.resize(array.bytes / 2);
                for (std::size_t i = 0; i < values.size(); ++i)
                    values[i] = loadAsF32(data, array.kind == Kind::F16 ? DType::F16 : DType::BF16,
                                          static_cast<std::int64_t>(i));
                break;
        }
    }
}

}  // namespace eigenscope::optest
