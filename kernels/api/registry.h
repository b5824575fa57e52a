// SPDX-License-Identifier: Apache-2.0
// Which backends this program has. The application fills the registry once at start (app/backends.cpp holds
// the table); the engine receives a Backend and never names one. Not thread-safe while being filled.
#pragma once

#include "kernels/api/backend.h"

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace eigenscope {

struct BackendEntry {
    std::string name;  // "cpu"
    int preference;    // `auto` takes the available entry with the largest
    // Creates the backend; throws Error with the reason when the device, driver or module is missing.
    std::function<std::shared_ptr<Backend>()> create;
};

struct BackendChoice {
    std::shared_ptr<Backend> backend;
    std::string fallback_reason;  // why a preferred device is not used; empty when nothing was lost
};

class BackendRegistry {
public:
    void add(BackendEntry entry);
    const std::vector<BackendEntry>& entries() const { return m_entries; }
    // `name` is an entry's name or "auto". A named device that is missing is an error; auto falls back and
    // says why. A backend is created once and shared.
    BackendChoice choose(std::string_view name);

private:
    std::vector<BackendEntry> m_entries;
    std::vector<std::shared_ptr<Backend>> m_created;
};

// Loads a backend module: a shared library that exports kBackendModuleEntry with the signature
// extern "C" void(std::shared_ptr<Backend>* backend), which throws Error when its device is missing. A module
// stays loaded until the program ends. Throws Error naming the file and why.
inline constexpr const char* kBackendModuleEntry = "eigenscope_backend_v1";
std::shared_ptr<Backend> loadBackendModule(const std::string& path);

}  // namespace eigenscope
