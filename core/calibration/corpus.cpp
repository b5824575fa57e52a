// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/corpus.h"

#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/base/hash.h"

#include <algorithm>
#include <random>

namespace eigenscope {

namespace {

// Length of the UTF-8 sequence at text[i], or 0 when there is none (Unicode 15, table 3-7: no overlong forms,
// no surrogates, nothing above U+10FFFF). NUL counts as no text: it means a binary file.
std::size_t sequenceLength(std::string_view text, std::size_t i) {
    const auto byte = [&](std::size_t k) {
        return i + k < text.size() ? static_cast<unsigned char>(text[i + k]) : 0u;
    };
    const auto follows = [&](std::size_t k, unsigned low = 0x80, unsigned high = 0xBF) {
        return byte(k) >= low && byte(k) <= high;
    };
    const unsigned lead = byte(0);
    if (lead < 0x80)
        return lead == 0 ? 0 : 1;
    if (lead >= 0xC2 && lead <= 0xDF)
        return follows(1) ? 2 : 0;
    if (lead >= 0xE0 && lead <= 0xEF) {
        const unsigned low = lead == 0xE0 ? 0xA0 : 0x80, high = lead == 0xED ? 0x9F : 0xBF;
        return follows(1, low, high) && follows(2) ? 3 : 0;
    }
    if (lead >= 0xF0 && lead <= 0xF4) {
        const unsigned low = lead == 0xF0 ? 0x90 : 0x80, high = lead == 0xF4 ? 0x8F : 0xBF;
        return follows(1, low, high) && follows(2) && follows(3) ? 4 : 0;
    }
    return 0;
}

void checkText(std::string_view text, const std::filesystem::path& file) {
    if (text.empty())
        failInput(file, "is empty, expected text");
    for (std::size_t i = 0; i < text.size();) {
        const std::size_t length = sequenceLength(text, i);
        if (length == 0)
            failInput(file, "is not UTF-8 text (byte " + std::to_string(i) + ")");
        i += length;
    }
}

// A whole number in [0, bound), every one equally likely. The standard leaves the algorithm of
// std::uniform_int_distribution open, so the draw is written out: numbers beyond the last multiple of bound
// are rejected.
std::uint64_t drawBelow(std::mt19937_64& random, std::uint64_t bound) {
    const std::uint64_t rejected = (0 - bound) % bound;  // 2^64 mod bound
    for (;;) {
        const std::uint64_t number = random();
        if (number >= rejected)
            return number % bound;
    }
}

}  // namespace

Corpus readCorpus(JobContext& job, const Tokenizer& tokenizer, const std::filesystem::path& file,
                  bool add_special) {
    job.checkCancelled();
    job.progress("reading text", 0, 0);
    const std::string text = readTextFile(file);
    checkText(text, file);
    Corpus corpus;
    corpus.file = file;
    Fingerprint fingerprint;
    fingerprint.add(text);
    corpus.fingerprint = fingerprint.hex();
    job.checkCancelled();
    corpus.ids = tokenizer.encode(text, add_special);
    job.checkCancelled();
    return corpus;
}

std::vector<std::vector<TokenId>> sampleWindows(const Corpus& corpus, int samples, int length,
                                                std::uint64_t seed) {
    if (samples < 1)
        throw Error(ErrorCode::InvalidInput, "samples " + std::to_string(samples) + ": expected 1 or more");
    if (length < 1)
        throw Error(ErrorCode::InvalidInput,
                    "sequence length " + std::to_string(length) + ": expected 1 or more");
    const std::size_t window = static_cast<std::size_t>(length);
    if (corpus.ids.size() < window)
        failInput(corpus.file, "the text has " + std::to_string(corpus.ids.size()) +
                                   " tokens, fewer than one window of " + std::to_string(length));
    std::mt19937_64 random(seed);
    std::vector<std::vector<TokenId>> windows;
    for (int i = 0; i < samples; ++i) {
        const auto start = static_cast<std::ptrdiff_t>(drawBelow(random, corpus.ids.size() - window + 1));
        const auto begin = corpus.ids.begin() + start;
        windows.emplace_back(begin, begin + length);
    }
    return windows;
}

}  // namespace eigenscope
