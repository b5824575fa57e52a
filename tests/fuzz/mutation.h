// SPDX-License-Identifier: Apache-2.0
// Mutations of a corpus, always the same sequence for the same files: far less clever than libFuzzer, but
// everywhere. One thread.
#pragma once

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace eigenscope::fuzz {

class Mutator {
public:
    explicit Mutator(const std::vector<std::string>& corpus) : m_corpus(corpus) {}
    // One of the files with one to four changes.
    std::string next();

private:
    void change(std::string& text);
    std::size_t below(std::size_t bound) { return bound == 0 ? 0 : m_random() % bound; }

    const std::vector<std::string>& m_corpus;
    std::mt19937_64 m_random{20240601};
};

}  // namespace eigenscope::fuzz
