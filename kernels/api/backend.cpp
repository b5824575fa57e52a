// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/backend.h"

namespace eigenscope {

// For backends whose device memory is the host's.
void Backend::uploadBeside(void* device, std::size_t bytes, const FillBytes& fill) {
    if (bytes > 0)
        fill(0, {static_cast<std::byte*>(device), bytes});
}

}  // namespace eigenscope
