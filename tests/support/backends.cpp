// SPDX-License-Identifier: Apache-2.0
#include "tests/support/backends.h"

#include "kernels/reference/reference_backend.h"
#ifdef EIGENSCOPE_TEST_CPU
#include "kernels/cpu/cpu_backend.h"
#endif

namespace eigenscope::test {

std::vector<std::shared_ptr<Backend>> hostBackends() {
    static const std::vector<std::shared_ptr<Backend>> kBackends{
        createReferenceBackend(),
#ifdef EIGENSCOPE_TEST_CPU
        createCpuBackend(),
#endif
    };
    return kBackends;
}

std::shared_ptr<Backend> referenceBackend() { return hostBackends().front(); }

std::shared_ptr<Backend> hostBackend(const std::string& name) {
    for (const auto& backend : hostBackends()) {
        if (backend->info().backend == name) {
            return backend;
        }
    }
    return nullptr;
}

}  // namespace eigenscope::test
