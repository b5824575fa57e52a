// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/emulation/emulated_backend.h"

#include "tests/kernels/emulation/runtime.h"

extern "C" void eigenscope_backend_v1(std::shared_ptr<eigenscope::Backend>* backend);

namespace eigenscope::emulation {

std::shared_ptr<Backend> createEmulatedCudaBackend(std::int64_t emulated_products) {
    deviceSettings().smallest_product = static_cast<double>(emulated_products);
    std::shared_ptr<Backend> backend;
    eigenscope_backend_v1(&backend);
    return backend;
}

}  // namespace eigenscope::emulation
