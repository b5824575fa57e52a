// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/replayer.h"

#include "kernels/api/error.h"

#include <algorithm>

namespace eigenscope::cuda {

namespace {

// Errors that a recording alone may have: the ops are tried without.
bool isOfTheDevice(const Error& error) {
    return error.code() == ErrorCode::Device || error.code() == ErrorCode::OutOfMemory;
}

}  // namespace

// Null, and m_failure set, when the device cannot.
std::unique_ptr<Recording> Replayer::record(const std::function<void()>& queue) {
    m_recording = true;
    try {
        m_recorder.begin();
        queue();
        std::unique_ptr<Recording> recording = m_recorder.end();
        m_recording = false;
        return recording;
    } catch (const Error& error) {
        m_recorder.abandon();
        m_recording = false;
        if (!isOfTheDevice(error))
            throw;
        m_failure = error.what();
        m_entries.clear();
        return nullptr;
    } catch (...) {
        m_recorder.abandon();
        m_recording = false;
        throw;
    }
}

void Replayer::run(std::span<const std::byte> signature, const std::function<void()>& queue) {
    if (!m_failure.empty() || m_recording) {  // a recording within a recording is part of it
        queue();
        return;
    }
    const auto found = std::find_if(m_entries.begin(), m_entries.end(), [&](const Entry& entry) {
        return std::equal(entry.signature.begin(), entry.signature.end(), signature.begin(), signature.end());
    });
    if (found == m_entries.end()) {
        queue();
        // After the ops: they may have made scratch memory grow, and so everything forgotten.
        m_entries.push_front({{signature.begin(), signature.end()}, nullptr});
        if (m_entries.size() > m_most)
            m_entries.pop_back();
        return;
    }
    m_entries.splice(m_entries.begin(), m_entries, found);
    if (!found->recording) {
        std::unique_ptr<Recording> recording = record(queue);
        if (!recording) {
            queue();
            return;
        }
        found->recording = std::move(recording);
    }
    m_recorder.launch(*found->recording);
}

}  // namespace eigenscope::cuda
