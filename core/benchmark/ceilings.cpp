// SPDX-License-Identifier: Apache-2.0
#include "core/benchmark/ceilings.h"

#include "core/benchmark/device_fill.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace eigenscope {

namespace {

using Clock = std::chrono::steady_clock;

constexpr double kRoundSeconds = 2e-3;  // a hundred times what waiting for a device takes
constexpr double kSeconds = 0.3;        // for one rate
constexpr std::int64_t kBlock = std::int64_t{1} << 20;

double secondsSince(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

std::shared_ptr<Buffer> randomBuffer(Backend& backend, Stream& stream, std::int64_t count, DType dtype) {
    const auto bytes = static_cast<std::size_t>(count) * sizeOf(dtype);
    auto buffer = backend.allocate(bytes);
    fillRepeating(backend, stream, buffer->data(), bytes, randomBytes(std::min(count, kBlock), dtype));
    return buffer;
}

}  // namespace

double fastestCall(JobContext& job, Stream& stream, double seconds, const std::function<void()>& op) {
    const auto round = [&](std::int64_t calls) {
        const auto begin = Clock::now();
        for (std::int64_t i = 0; i < calls; ++i) {
            op();
        }
        stream.synchronize();
        return secondsSince(begin) / static_cast<double>(calls);
    };
    round(1);  // plans are made, pages are touched
    const double one = round(1);
    const auto calls =
        static_cast<std::int64_t>(std::clamp(std::ceil(kRoundSeconds / std::max(one, 1e-9)), 1.0, 1000.0));
    double fastest = one;
    const auto start = Clock::now();
    for (int rounds = 0; rounds < 3 || secondsSince(start) < seconds; ++rounds) {
        job.checkCancelled();
        fastest = std::min(fastest, round(calls));
    }
    return fastest;
}

CopyCeiling measureCopy(JobContext& job, Backend& backend, int threads) {
    job.progress("measuring the copy rate", 0, 0);
    const std::size_t wanted = std::size_t{backend.info().host_accessible ? 256u : 1024u} << 20;
    const std::size_t bytes =
        std::max<std::size_t>(std::min(wanted, backend.memory().available_bytes / 8), 64) / 64 * 64;
    const auto stream = backend.createStream(threads);
    const auto count = static_cast<std::int64_t>(bytes / sizeof(float));
    const auto from = randomBuffer(backend, *stream, count, DType::F32);
    const auto to = randomBuffer(backend, *stream, count, DType::F32);
    const double seconds =
        fastestCall(job, *stream, kSeconds, [&] { backend.copy(*stream, to->data(), from->data(), bytes); });
    return {2.0 * static_cast<double>(bytes) / seconds, bytes};
}

ProductCeiling measureProduct(JobContext& job, Backend& backend, int threads, DType weight, Compute compute) {
    constexpr std::int64_t kLeast = 256, kMost = 8192;
    constexpr double kLongest = 0.05;
    job.progress("measuring the rate of matrix products", 0, 0);
    const auto stream = backend.createStream(threads);
    ProductCeiling ceiling;
    for (std::int64_t n = kLeast; n <= kMost; n *= 2) {
        const auto elements = static_cast<std::size_t>(n * n);
        if (n > kLeast && elements * 3 * sizeof(float) > backend.memory().available_bytes / 4) {
            break;
        }
        const auto x = randomBuffer(backend, *stream, n * n, DType::F32);
        const auto w = randomBuffer(backend, *stream, n * n, weight);
        const auto y = backend.allocate(elements * sizeof(float));
        const GemmParams params{.x = static_cast<const float*>(x->data()),
                                .weight = w->data(),
                                .weight_dtype = weight,
                                .y = static_cast<float*>(y->data()),
                                .m = n,
                                .n = n,
                                .k = n,
                                .compute = compute};
        const double seconds =
            fastestCall(job, *stream, kSeconds / 4, [&] { backend.gemm(*stream, params); });
        const double size = static_cast<double>(n);
        const double rate = 2.0 * size * size * size / seconds;
        if (rate > ceiling.flops_per_second) {
            ceiling = {rate, n};
        }
        if (seconds > kLongest) {
            break;
        }
    }
    return ceiling;
}

}  // namespace eigenscope
