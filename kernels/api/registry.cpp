// SPDX-License-Identifier: Apache-2.0
#include "kernels/api/registry.h"

#include <dlfcn.h>
#include <algorithm>
#include <numeric>
#include <utility>

namespace eigenscope {

void BackendRegistry::add(BackendEntry entry) {
    m_entries.push_back(std::move(entry));
    m_created.emplace_back();
}

BackendChoice BackendRegistry::choose(std::string_view name) {
    const auto create = [this](std::size_t i) {
        if (!m_created[i])
            m_created[i] = m_entries[i].create();
        if (!m_created[i])
            throw Error(ErrorCode::Device, "the device gave no backend");
        return m_created[i];
    };

    if (name != "auto") {
        std::string known;
        for (std::size_t i = 0; i < m_entries.size(); ++i) {
            if (m_entries[i].name == name)
                return {create(i), {}};
            known += m_entries[i].name + ", ";
        }
        throw Error(ErrorCode::InvalidInput,
                    "unknown device '" + std::string(name) + "'; expected one of " + known + "auto");
    }

    std::vector<std::size_t> order(m_entries.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::stable_sort(order.begin(), order.end(), [this](std::size_t a, std::size_t b) {
        return m_entries[a].preference > m_entries[b].preference;
    });
    BackendChoice choice;
    for (std::size_t i : order) {
        try {
            choice.backend = create(i);
            return choice;
        } catch (const std::exception& error) {
            choice.fallback_reason += (choice.fallback_reason.empty() ? "" : "; ") + m_entries[i].name +
                                      " is not used: " + error.what();
        }
    }
    throw Error(ErrorCode::Device, choice.fallback_reason.empty()
                                       ? "this program was built without any backend"
                                       : "no device can be used: " + choice.fallback_reason);
}

std::shared_ptr<Backend> loadBackendModule(const std::string& path) {
    // RTLD_LOCAL: the module's libraries must not bind to, or be bound by, the program's. RTLD_NODELETE:
    // buffers and streams made by the module may outlive its Backend, so its code stays.
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (!handle) {
        const char* why = dlerror();
        throw Error(ErrorCode::Device,
                    "cannot load the backend module '" + path + "': " + (why ? why : "unknown"));
    }
    using Entry = void (*)(std::shared_ptr<Backend>*);
    const auto entry = reinterpret_cast<Entry>(dlsym(handle, kBackendModuleEntry));
    if (!entry) {
        dlclose(handle);
        throw Error(ErrorCode::Device, "'" + path +
                                           "' is not a backend module of this version: it does not export " +
                                           kBackendModuleEntry);
    }
    std::shared_ptr<Backend> backend;
    entry(&backend);
    if (!backend)
        throw Error(ErrorCode::Device, "the backend module '" + path + "' gave no backend");
    return backend;
}

}  // namespace eigenscope
