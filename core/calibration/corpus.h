// SPDX-License-Identifier: Apache-2.0
// One text, whole: file to token ids to windows. Evaluation reads texts this way, and calibration draws its
// windows from one plain text this way; corpus_sample.h draws from documents and mixtures.
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
    std::string fingerprint;   // of the bytes, unpacked
    std::vector<TokenId> ids;  // tokenised once, special tokens at the start as the tokenizer adds them
};
// Any file of document_reader.h; documents are joined by blank lines, as is done with WikiText. Throws for a
// missing, empty or non-text file and for a text of more than 1 GiB.
Corpus readCorpus(JobContext& job, const Tokenizer& tokenizer, const std::filesystem::path& file,
                  bool add_special = true, const std::string& text_field = {});

// `samples` windows of `length` tokens at uniformly random starts (with replacement), the same for the same
// seed on every machine. Throws when the corpus is shorter than one window.
std::vector<std::vector<TokenId>> sampleWindows(const Corpus& corpus, int samples, int length,
                                                std::uint64_t seed);

}  // namespace eigenscope
