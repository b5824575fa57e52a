// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/backends.h"

#include "core/base/fail.h"
#include "kernels/reference/reference_backend.h"

#ifdef EIGENSCOPE_HAS_CPU
#include "kernels/cpu/cpu_backend.h"
#endif

#include <filesystem>
#include <system_error>
#include <vector>

namespace eigenscope {

namespace fs = std::filesystem;

namespace {

constexpr const char* kCudaModule = "libeigenscope_cuda.so";

// Beside the program in a build tree, in the library folder once installed.
fs::path findModule(const char* file) {
    std::error_code error;
    const fs::path folder = fs::read_symlink("/proc/self/exe", error).parent_path();
    if (error)
        return {};
    for (const fs::path& candidate : {folder / file, folder / ".." / "lib" / "eigenscope" / file}) {
        if (fs::exists(candidate, error))
            return candidate.lexically_normal();
    }
    return {};
}

std::shared_ptr<Backend> createCuda() {
    const fs::path module = findModule(kCudaModule);
    if (module.empty())
        failUnsupported("this installation has no CUDA module (it is built when the CUDA toolkit is found)");
    return loadBackendModule(module.string());
}

}  // namespace

BackendRegistry availableBackends() {
    BackendRegistry registry;
    registry.add({"cuda", 20, createCuda});
#ifdef EIGENSCOPE_HAS_CPU
    registry.add({"cpu", 10, createCpuBackend});
#endif
    registry.add({"reference", 0, createReferenceBackend});  // slow: an oracle, only by its name
    return registry;
}

}  // namespace eigenscope
