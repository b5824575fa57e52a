// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/npy_file.h"

#include <fmt/format.h>

#include <string>

namespace eigenscope {

NpyFile::NpyFile(const std::filesystem::path& file, std::int64_t rows, std::int64_t columns) : m_file(file) {
    // Magic, version and the header's length take 10 bytes; data start at a multiple of 64.
    std::string header =
        fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, columns);
    header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
    header += '\n';
    std::string start("\x93NUMPY\x01\x00", 8);
    start += static_cast<char>(header.size() & 0xFF);
    start += static_cast<char>(header.size() >> 8);
    m_file.write(start + header);
}

}  // namespace eigenscope
