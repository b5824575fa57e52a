// SPDX-License-Identifier: Apache-2.0
// What a device reaches at most, measured where and when the figures are that it is compared with: the rate
// of a large copy within the device and of a large matrix product. Any thread.
#pragma once

#include "core/base/job_context.h"
#include "kernels/api/backend.h"

#include <cstdint>
#include <functional>

namespace eigenscope {

struct CopyCeiling {
    double bytes_per_second = 0.0;  // read and written: twice the size of what is copied
    std::size_t copied_bytes = 0;
};
// The fastest of several copies of 1 GiB, on hosts 256 MiB; less where little memory is free.
CopyCeiling measureCopy(JobContext& job, Backend& backend, int threads);

struct ProductCeiling {
    double flops_per_second = 0.0;  // 2 n^3 in a product of n x n matrices
    std::int64_t size = 0;          // n of the fastest
};
// The fastest product of square matrices, n doubled from 256 until one takes 50 ms, or n is 8192.
ProductCeiling measureProduct(JobContext& job, Backend& backend, int threads, DType weight, Compute compute);

// Seconds of one call of `op`: the fastest of rounds that go on for `seconds`, three rounds at least. A round
// queues as many calls as take 2 ms before it waits for the device, so that waiting does not count.
double fastestCall(JobContext& job, Stream& stream, double seconds, const std::function<void()>& op);

}  // namespace eigenscope
