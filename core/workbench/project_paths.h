// SPDX-License-Identifier: Apache-2.0
// How a project's file refers to other files, so that a folder with everything in it can be moved:
//   - what lies in the project's folder or below it is written relative to that folder;
//   - what lies in the folder above it, or below that, likewise, with one "../", unless that is the root;
//   - everything else is written absolute, and so is what neither end of the move would find again.
// Names are taken as they are written: symbolic links stay links, except that "../" starts from where the
// project's folder really is, as it does for the operating system. Presets ("preset:NAME") are no paths and
// stay as they are. Reading accepts any path and answers absolute ones. Pure but for looking at links; any
// thread.
#pragma once

#include "core/base/json.h"

#include <filesystem>
#include <string>
#include <string_view>

namespace eigenscope {

class ProjectPaths {
public:
    explicit ProjectPaths(const std::filesystem::path& project_file);

    // Throws InvalidInput naming the project's file and `field` when the path cannot be written: empty, too
    // long, or not UTF-8, which JSON is.
    std::string written(const std::filesystem::path& path, std::string_view field) const;
    // Absolute, without "." and "..".
    std::filesystem::path read(const JsonView& json) const;
    std::filesystem::path readModel(const JsonView& json) const;  // or a preset

private:
    std::filesystem::path m_file, m_folder, m_real_folder;
};

inline constexpr std::size_t kLongestPath = 4096;  // bytes, as in Linux

// Throws as ProjectPaths::written() unless the text can stand in a project's file.
void checkProjectText(const std::filesystem::path& project_file, std::string_view field,
                      const std::string& text);

}  // namespace eigenscope
