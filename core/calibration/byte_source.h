// SPDX-License-Identifier: Apache-2.0
// The bytes of a text file in order, unpacked on the way when the file is gzip (known by its first two bytes,
// whatever its name). Memory is constant however long the file is. Only regular files: texts are read more
// than once (for their fingerprint, and by each model that is measured on them). One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>

namespace eigenscope {

class ByteSource {
public:
    explicit ByteSource(const std::filesystem::path& file);  // throws as RegularFile
    ~ByteSource();
    ByteSource(const ByteSource&) = delete;
    ByteSource& operator=(const ByteSource&) = delete;

    // Fills `target` as far as the text goes: fewer bytes than `size` only at its end.
    std::size_t read(char* target, std::size_t size);
    bool compressed() const;
    std::int64_t consumed() const;  // bytes of the file itself
    std::int64_t fileBytes() const;

private:
    struct State;
    std::unique_ptr<State> m_state;
};

}  // namespace eigenscope
