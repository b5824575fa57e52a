// SPDX-License-Identifier: GPL-3.0-or-later
// NumPy's .npy files, version 1.0 (numpy.lib.format), written row by row, whole or not at all. One thread.
#pragma once

#include "core/base/atomic_output.h"

#include <cstdint>
#include <filesystem>
#include <span>

namespace eigenscope {

class NpyFile {
public:
    // A float32 array [rows, columns] in C order.
    NpyFile(const std::filesystem::path& file, std::int64_t rows, std::int64_t columns);
    void write(std::span<const float> values) { m_file.write(std::as_bytes(values)); }
    void commit() { m_file.commit(); }

private:
    AtomicFile m_file;
};

}  // namespace eigenscope
