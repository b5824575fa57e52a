// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/input_file.h"

#include "core/base/fail.h"

#include <algorithm>
#include <cerrno>

#include <unistd.h>

namespace eigenscope {

std::shared_ptr<const InputFile> InputFile::open(const std::filesystem::path& file) {
    return std::shared_ptr<const InputFile>(new InputFile(file));
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> to) const {
    constexpr std::size_t kMost = std::size_t{1} << 30;  // one call reads less than 2 GiB
    while (!to.empty()) {
        const ssize_t count =
            ::pread(m_file.descriptor(), to.data(), std::min(to.size(), kMost), static_cast<off_t>(offset));
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            failIo(m_file.path(), "read", errno);
        if (count == 0)
            failInput(m_file.path(), "ended at byte " + std::to_string(offset) + ", expected " +
                                         std::to_string(to.size()) +
                                         " more: was it cut while it was in use?");
        offset += static_cast<std::uint64_t>(count);
        to = to.subspan(static_cast<std::size_t>(count));
    }
}

std::shared_ptr<const MappedFile> InputFile::map() const {
    return MappedFile::map(m_file.descriptor(), static_cast<std::size_t>(m_file.size()), m_file.path());
}

}  // namespace eigenscope
