// SPDX-License-Identifier: Apache-2.0
#include "core/benchmark/device_fill.h"

#include <algorithm>
#include <string>

namespace eigenscope {

std::vector<float> randomBlock(std::int64_t count, std::uint64_t seed) {
    std::vector<float> block(static_cast<std::size_t>(count));
    std::uint64_t state = seed;
    for (float& value : block) {
        // Knuth's MMIX generator; the upper bits are the good ones.
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        const double unit = static_cast<double>(state >> 40) * 0x1p-24;  // [0, 1)
        value = static_cast<float>((2.0 * unit - 1.0) * 1.7320508075688772);
    }
    return block;
}

std::vector<std::byte> randomBytes(std::int64_t count, DType dtype, std::uint64_t seed) {
    const std::vector<float> numbers = randomBlock(count, seed);
    std::vector<std::byte> bytes(numbers.size() * sizeOf(dtype));
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        storeFromF32(bytes.data(), dtype, static_cast<std::int64_t>(i), numbers[i]);
    }
    return bytes;
}

void fillRepeating(Backend& backend, Stream& stream, void* to, std::size_t bytes,
                   std::span<const std::byte> block) {
    if (bytes == 0) {
        return;
    }
    if (block.empty()) {
        throw Error(ErrorCode::InvalidInput,
                    "there is nothing to fill " + std::to_string(bytes) + " bytes with");
    }
    auto* const begin = static_cast<std::byte*>(to);
    std::size_t filled = std::min(bytes, block.size());
    backend.upload(stream, begin, block.data(), filled);
    while (filled < bytes) {  // what is there is a whole number of blocks, so its copy goes on where it ends
        const std::size_t more = std::min(filled, bytes - filled);
        backend.copy(stream, begin + filled, begin, more);
        filled += more;
    }
    stream.synchronize();
}

}  // namespace eigenscope
