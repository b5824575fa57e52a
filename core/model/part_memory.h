// SPDX-License-Identifier: Apache-2.0
// Device memory for the parts of a streamed model: allocated once, and lent to two parts at a time, one at
// either end. A part is written at one end while the one before it is used at the other, so that two
// neighbours need no more than their own sizes. Any thread.
#pragma once

#include "kernels/api/backend.h"

#include <cstddef>
#include <memory>
#include <mutex>

namespace eigenscope {

class PartMemory : public std::enable_shared_from_this<PartMemory> {
public:
    // Throws OutOfMemory as Backend::allocate() does. `bytes` is a multiple of PartPlace::kAlignment.
    PartMemory(Backend& backend, std::size_t bytes);

    // `bytes`, a multiple of the alignment too, for as long as the pointer lives; null when there is no room.
    std::shared_ptr<Buffer> take(std::size_t bytes);

private:
    class Lent;

    std::shared_ptr<Buffer> m_memory;
    std::mutex m_mutex;
    std::size_t m_lent[2] = {0, 0};  // at the beginning and at the end
};

}  // namespace eigenscope
