// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target without libFuzzer, so that every compiler's test run has it: over all files of a corpus,
// then over a number of mutations of them, always the same ones.
//     fuzz_replay_TARGET CORPUS [MUTATIONS]
// When the target ends the process, the input that did it is in fuzz-crash-TARGET of the working directory.
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/mutation.h"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include <fcntl.h>
#include <unistd.h>
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif

namespace {

namespace fs = std::filesystem;
using eigenscope::fuzz::Mutator;

std::string g_input, g_crash_file;

// Only what a signal handler may call.
void keepInput() {
    const int fd = open(g_crash_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd >= 0) {
        const ssize_t written = write(fd, g_input.data(), g_input.size());
        static_cast<void>(written);
        close(fd);
    }
}

void onSignal(int signal) {
    keepInput();
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

void keepInputOfDeath() {
#ifdef __SANITIZE_ADDRESS__
    __sanitizer_set_death_callback(keepInput);  // the sanitizer has handlers of its own, with better reports
#else
    for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL})
        std::signal(signal, onSignal);
#endif
    for (int signal : {SIGABRT, SIGTERM})
        std::signal(signal, onSignal);
}

void run(std::string input) {
    g_input = std::move(input);
    LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(g_input.data()), g_input.size());
}

std::vector<std::string> filesBelow(const fs::path& folder) {
    std::vector<fs::path> paths;
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        if (entry.is_regular_file())
            paths.push_back(entry.path());
    }
    std::sort(paths.begin(), paths.end());  // the same mutations on every machine
    std::vector<std::string> files;
    for (const fs::path& path : paths) {
        std::ifstream in(path, std::ios::binary);
        files.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
    }
    return files;
}

}  // namespace

int main(int argc, char** argv) {
    if (argc < 2 || argc > 3) {
        std::fprintf(stderr, "usage: %s CORPUS [MUTATIONS]\n", argv[0]);
        return 2;
    }
    const long mutations = argc > 2 ? std::strtol(argv[2], nullptr, 10) : 0;
    g_crash_file = "fuzz-crash-" + fs::path(argv[0]).filename().string();
    keepInputOfDeath();
    const std::vector<std::string> corpus = filesBelow(argv[1]);
    if (corpus.empty()) {
        std::fprintf(stderr, "%s: no files\n", argv[1]);
        return 1;
    }
    run("");
    for (const std::string& input : corpus)
        run(input);
    Mutator mutator(corpus);
    for (long i = 0; i < mutations; ++i)
        run(mutator.next());
    std::printf("%zu files and %ld mutations of them\n", corpus.size(), mutations);
    return 0;
}
