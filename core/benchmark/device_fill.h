// SPDX-License-Identifier: Apache-2.0
// Large arrays of random numbers on a device at the price of a small block: the block is made on the host,
// uploaded once, and repeated by copies on the device. For measurements of speed, where numbers must be
// ordinary (no zeros that a processor or a page table could skip, no NaN, no denormals) but need not differ.
// Any thread; a stream belongs to one.
#pragma once

#include "kernels/api/backend.h"

#include <cstdint>
#include <span>
#include <vector>

namespace eigenscope {

// Uniform numbers of mean 0 and variance 1, the same for the same seed on every machine.
std::vector<float> randomBlock(std::int64_t count, std::uint64_t seed = 1);
// The same rounded to `dtype`, as bytes.
std::vector<std::byte> randomBytes(std::int64_t count, DType dtype, std::uint64_t seed = 1);

// Writes `bytes` bytes at `to` (device): the block over and over, the last one cut. Returns when done.
void fillRepeating(Backend& backend, Stream& stream, void* to, std::size_t bytes,
                   std::span<const std::byte> block);

}  // namespace eigenscope
