// SPDX-License-Identifier: Apache-2.0
#include "core/workbench/project_paths.h"

#include "core/base/fail.h"
#include "core/model/open_checkpoint.h"

#include <system_error>

namespace eigenscope {

namespace fs = std::filesystem;

namespace {

const fs::path kUp = "..";

// Without ".", "..", doubled and final slashes, by the names alone.
fs::path normal(const fs::path& path) {
    const fs::path result = path.lexically_normal();
    return !result.has_filename() && result.has_relative_path() ? result.parent_path() : result;
}

fs::path absolutePath(const fs::path& path) {
    std::error_code error;
    const fs::path result = fs::absolute(path, error);
    return normal(error ? path : result);
}

fs::path withoutLinks(const fs::path& folder) {
    std::error_code error;
    const fs::path result = fs::weakly_canonical(folder, error);
    return error || result.empty() ? folder : normal(result);
}

// Number of ".." that a relative path starts with.
int stepsUp(const fs::path& relative) {
    int steps = 0;
    for (auto part = relative.begin(); part != relative.end() && *part == kUp; ++part)
        ++steps;
    return steps;
}

}  // namespace

void checkProjectText(const fs::path& project_file, std::string_view field, const std::string& text) {
    if (text.empty())
        failField(project_file, field, "is empty");
    if (text.size() > kLongestPath)
        failField(project_file, field, "is longer than " + std::to_string(kLongestPath) + " bytes");
    if (text.find('\0') != std::string::npos)
        failField(project_file, field, "has a zero character");
    try {
        static_cast<void>(Json(text).dump());
    } catch (const Json::exception&) {
        failField(project_file, field, "is not UTF-8, and nothing else can stand in a project's file");
    }
}

ProjectPaths::ProjectPaths(const fs::path& project_file)
    : m_file(project_file),
      m_folder(absolutePath(project_file).parent_path()),
      m_real_folder(withoutLinks(m_folder)) {}

std::string ProjectPaths::written(const fs::path& path, std::string_view field) const {
    const auto checked = [&](const std::string& text) {
        checkProjectText(m_file, field, text);
        return text;
    };
    if (path.empty() || presetName(path))
        return checked(path.string());
    const fs::path target = absolutePath(path);
    const fs::path below = target.lexically_relative(m_folder);
    if (!below.empty() && stepsUp(below) == 0)  // a folder may be called as a preset is
        return checked(presetName(below) ? "./" + below.string() : below.string());
    const fs::path beside = target.lexically_relative(m_real_folder);
    const bool has_siblings =
        m_real_folder.has_relative_path() && m_real_folder.parent_path().has_relative_path();
    if (!beside.empty() && stepsUp(beside) == 1 && has_siblings)
        return checked(beside.string());
    return checked(target.string());
}

fs::path ProjectPaths::read(const JsonView& json) const {
    const std::string text = json.string();
    checkProjectText(json.file(), json.field(), text);
    const fs::path path = text;
    if (path.is_absolute())
        return normal(path);
    const fs::path relative = normal(path);
    return normal((stepsUp(relative) > 0 ? m_real_folder : m_folder) / relative);
}

fs::path ProjectPaths::readModel(const JsonView& json) const {
    const std::string text = json.string();
    checkProjectText(json.file(), json.field(), text);
    return presetName(text) ? fs::path(text) : read(json);
}

}  // namespace eigenscope
