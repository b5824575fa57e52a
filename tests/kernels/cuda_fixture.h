// SPDX-License-Identifier: Apache-2.0
// The CUDA backend on the emulated runtime, and arrays on it, for tests of its host code. Header only.
#pragma once

#include "tests/kernels/emulation/emulated_backend.h"
#include "tests/kernels/emulation/runtime.h"

#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace eigenscope::test {

// Settings of the emulated device until the end of a block; the device is whole again afterwards.
class Settings {
public:
    explicit Settings(emulation::DeviceSettings settings) { emulation::deviceSettings() = settings; }
    ~Settings() {
        emulation::deviceSettings() = {};
        emulation::repairDevice();
    }
    Settings(const Settings&) = delete;
    Settings& operator=(const Settings&) = delete;
};

inline emulation::DeviceSettings scheduled(emulation::Schedule schedule) {
    emulation::DeviceSettings settings;
    settings.schedule = schedule;
    return settings;
}
inline constexpr emulation::Schedule kSchedules[] = {emulation::Schedule::Late, emulation::Schedule::Early,
                                                     emulation::Schedule::CopiesEarly};

// A backend and one stream.
struct Cuda {
    std::shared_ptr<Backend> backend = emulation::createEmulatedCudaBackend();
    std::unique_ptr<Stream> stream = backend->createStream(0);

    template <typename T>
    std::shared_ptr<Buffer> array(const std::vector<T>& values) {
        auto buffer = backend->allocate(values.size() * sizeof(T));
        backend->upload(*stream, buffer->data(), values.data(), values.size() * sizeof(T));
        return buffer;
    }
    std::vector<float> floats(const std::shared_ptr<Buffer>& buffer) {
        std::vector<float> values(buffer->bytes() / sizeof(float));
        backend->download(*stream, values.data(), buffer->data(), buffer->bytes());
        return values;
    }
    // y += x.
    void add(const std::shared_ptr<Buffer>& x, const std::shared_ptr<Buffer>& y) { add(*stream, x, y); }
    void add(Stream& on, const std::shared_ptr<Buffer>& x, const std::shared_ptr<Buffer>& y) {
        AddParams p;
        p.x = static_cast<const float*>(x->data());
        p.y = static_cast<float*>(y->data());
        p.count = static_cast<std::int64_t>(y->bytes() / sizeof(float));
        backend->add(on, p);
    }
};

inline std::vector<float> counting(std::size_t count, float first) {
    std::vector<float> values(count);
    std::iota(values.begin(), values.end(), first);
    return values;
}

template <typename Action>
std::string failureOf(Action action, ErrorCode code) {
    try {
        action();
    } catch (const Error& error) {
        return error.code() == code ? error.what() : "of another kind: " + std::string(error.what());
    }
    return "no failure";
}
inline bool contains(const std::string& text, const std::string& part) {
    return text.find(part) != std::string::npos;
}

}  // namespace eigenscope::test
