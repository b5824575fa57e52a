// SPDX-License-Identifier: Apache-2.0
// A file that stays open and is read at given places, without being mapped: what is read is memory of the
// reader's own and ends with it. The file that was opened is the one that is read, even when another takes
// its name. Immutable; any thread.
#pragma once

#include "core/base/regular_file.h"
#include "core/checkpoint/mapped_file.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>

namespace eigenscope {

class InputFile {
public:
    static std::shared_ptr<const InputFile> open(
        const std::filesystem::path& file);  // throws Io, InvalidInput
    std::uint64_t size() const { return m_file.size(); }
    // Bytes [offset, offset + to.size()). Throws when the file ends before.
    void read(std::uint64_t offset, std::span<std::byte> to) const;
    std::shared_ptr<const MappedFile> map() const;

private:
    explicit InputFile(const std::filesystem::path& path) : m_file(path) {}

    RegularFile m_file;
};

}  // namespace eigenscope
