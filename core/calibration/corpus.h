// SPDX-License-Identifier: Apache-2.0
// Calibration and evaluation texts: files to token ids to windows.
#pragma once

#include "core/base/job_context.h"
#include "core/tokenizer/tokenizer.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace eigenscope {

struct Corpus {
    std::filesystem::path file;
    std::string fingerprint;   // of the bytes
    std::vector<TokenId> ids;  // tokenised once, special tokens at the start as the tokenizer adds them
};
// Throws for a missing, empty or non-text file.
Corpus readCorpus(JobContext& job, const Tokenizer& tokenizer, const std::filesystem::path& file,
                  bool add_special = true);

// `samples` windows of `length` tokens at uniformly random starts (with replacement), the same for the same
// seed on every machine. Throws when the corpus is shorter than one window.
std::vector<std::vector<TokenId>> sampleWindows(const Corpus& corpus, int samples, int length,
                                                std::uint64_t seed);

}  // namespace eigenscope
