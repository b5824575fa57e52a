// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/backend.h"

#include <cstring>

namespace eigenscope {

// For backends whose device memory is the host's and whose ops are done when they return.
void Backend::uploadBeside(const std::shared_ptr<QueueMark>&, void* device, const void* host,
                           std::size_t bytes) {
    if (bytes > 0)
        std::memcpy(device, host, bytes);
}

}  // namespace eigenscope
