// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/fuzz_input.h"

#include "kernels/api/error.h"
#include "tests/support/temporary_directory.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <fcntl.h>
#include <unistd.h>

namespace eigenscope::fuzz {

namespace fs = std::filesystem;

namespace {

// The longest path and the longest message that a reader may put behind it: one line on a screen or two,
// whatever names the file holds.
constexpr std::size_t kLongestMessage = 4096 + 2048;

[[noreturn]] void giveUp(const std::string& why) {
    std::fprintf(stderr, "fuzz target: %s\n", why.c_str());
    std::abort();
}

void checkMessage(std::string_view message) {
    if (message.empty())
        giveUp("an error without a message");
    if (message.size() > kLongestMessage)
        giveUp("an error of " + std::to_string(message.size()) +
               " bytes: " + std::string(message.substr(0, 200)));
    for (char c : message) {
        if (static_cast<unsigned char>(c) < 0x20)
            giveUp("an error that is not one line: " + std::string(message));
    }
}

}  // namespace

const fs::path& inputFolder() {
    static const test::TemporaryDirectory folder = [] {
        std::error_code error;
        if (std::getenv("TMPDIR") == nullptr && fs::is_directory("/dev/shm", error))
            setenv("TMPDIR", "/dev/shm", 0);
        return test::TemporaryDirectory();
    }();
    return folder.path();
}

fs::path inputFile(const std::string& name, std::string_view contents) {
    const fs::path path = inputFolder() / name;
    const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, contents.data(), contents.size()) != static_cast<ssize_t>(contents.size()))
        giveUp("cannot write " + path.string());
    close(fd);
    return path;
}

void removeInput(const std::string& name) { unlink((inputFolder() / name).c_str()); }

std::vector<std::string_view> splitInput(std::string_view input, std::size_t parts) {
    std::vector<std::string_view> result;
    while (result.size() + 1 < parts) {
        const std::size_t at = input.find(kSeparator);
        result.push_back(input.substr(0, at));
        input = at == std::string_view::npos ? std::string_view() : input.substr(at + kSeparator.size());
    }
    result.push_back(input);
    return result;
}

std::string safetensorsOf(std::string_view header, std::string_view data) {
    std::string file;
    for (int i = 0; i < 8; ++i)
        file += static_cast<char>((header.size() >> (8 * i)) & 0xff);
    return file.append(header).append(data);
}

void read(const std::function<void()>& reader) {
    try {
        reader();
    } catch (const Error& error) {
        checkMessage(error.what());
    }
}

void require(bool condition, const char* what) {
    if (!condition)
        giveUp(what);
}

void touch(std::span<const std::byte> bytes) {
    unsigned char sum = 0;
    for (std::byte byte : bytes)
        sum = static_cast<unsigned char>(sum + std::to_integer<unsigned char>(byte));
    asm volatile("" : : "r"(sum));  // or nothing would be read
}

void touch(const std::vector<TensorRecord>& tensors) {
    for (const TensorRecord& tensor : tensors) {
        require(tensor.bytes.size() == static_cast<std::size_t>(tensor.count()) * sizeOf(tensor.dtype),
                "a tensor's bytes are not as many as its shape says");
        touch(tensor.bytes);
    }
}

}  // namespace eigenscope::fuzz
