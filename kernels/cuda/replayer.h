// SPDX-License-Identifier: Apache-2.0
// Decides when a queue of ops is recorded and when a recording is replayed (Backend::replay). The first time
// a signature is seen the ops run as they are, which grows scratch memory and makes the plans of products, as
// a recording must not; the second time they are recorded; from then on they are replayed. Host code without
// CUDA headers, so that it is tested everywhere. One thread at a time.
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace eigenscope::cuda {

class Recording {
public:
    virtual ~Recording() = default;
};

// What a device does about it. All but abandon() throw Error.
class Recorder {
public:
    virtual ~Recorder() = default;
    virtual void begin() = 0;  // what is queued from now on is recorded instead of run
    virtual std::unique_ptr<Recording> end() = 0;
    virtual void abandon() noexcept = 0;  // instead of end(), whatever state begin() left
    virtual void launch(const Recording& recording) = 0;
};

class Replayer {
public:
    // `most`: recordings that are kept; of more, the one that was used least recently goes.
    explicit Replayer(Recorder& recorder, std::size_t most = 16) : m_recorder(recorder), m_most(most) {}

    // Runs what `queue` queues, or replays it. When the device cannot record, ops run as they are from then
    // on and failure() says why; what `queue` throws for other reasons goes through.
    void run(std::span<const std::byte> signature, const std::function<void()>& queue);
    // Recordings hold addresses; to be called before memory that they may use is freed.
    void forget() { m_entries.clear(); }
    bool recording() const { return m_recording; }
    const std::string& failure() const { return m_failure; }  // empty while recording works

private:
    struct Entry {
        std::vector<std::byte> signature;
        std::unique_ptr<Recording> recording;  // null until the second time
    };
    std::unique_ptr<Recording> record(const std::function<void()>& queue);

    Recorder& m_recorder;
    std::size_t m_most;
    std::list<Entry> m_entries;  // the most recently used first
    bool m_recording = false;
    std::string m_failure;
};

}  // namespace eigenscope::cuda
