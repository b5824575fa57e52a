// SPDX-License-Identifier: Apache-2.0
#include "core/base/fail.h"

#include <system_error>

namespace eigenscope {

namespace {

// An error is one line whatever a file's name or contents hold.
std::string oneLine(std::string text) {
    for (char& c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
            c = ' ';
    }
    return text;
}

}  // namespace

void failInput(const std::filesystem::path& file, std::string_view message) {
    throw Error(ErrorCode::InvalidInput, oneLine(file.string() + ": " + std::string(message)));
}

void failField(const std::filesystem::path& file, std::string_view field, std::string_view message) {
    if (field.empty())
        failInput(file, message);
    throw Error(ErrorCode::InvalidInput,
                oneLine(file.string() + ": " + std::string(field) + ": " + std::string(message)));
}

void failIo(const std::filesystem::path& file, std::string_view action, int error) {
    throw Error(ErrorCode::Io, oneLine(file.string() + ": cannot " + std::string(action) + ": " +
                                       std::generic_category().message(error)));
}

void failUnsupported(std::string_view message) {
    throw Error(ErrorCode::Unsupported, oneLine(std::string(message)));
}

}  // namespace eigenscope
