// SPDX-License-Identifier: Apache-2.0
// Calibration windows drawn from one file or a weighted mixture of several, in one pass over each, the same
// for the same seed on every machine.
//
// One plain text is tokenised once; windows start at uniformly random places (corpus.h). Where a file holds
// documents, each gets a random priority from the seed and its number, and they are used in that order, which
// is a random permutation; a bounded list of the foremost is all that is kept, so memory is that of the
// windows and only documents that come into question are tokenised. When all documents are used up, they are
// used again in another order.
//   separate  a random window of each document that is long enough, as GPTQ and its successors draw from C4:
//             no window crosses documents, each document counts the same
//   packed    the documents one behind the other with the tokenizer's end-of-sequence token between (or bos,
//             or nothing when there is neither), cut into windows: for texts of short documents
//   auto      separate when there are as many documents long enough as windows are wanted, else packed
#pragma once

#include "core/base/job_context.h"
#include "core/calibration/corpus_summary.h"
#include "core/calibration/document_reader.h"
#include "core/tokenizer/tokenizer.h"

#include <filesystem>
#include <string_view>
#include <vector>

namespace eigenscope {

enum class DocumentRule : std::uint8_t { Auto, Separate, Packed };
std::string_view nameOf(DocumentRule rule);  // "auto", "separate", "packed"
DocumentRule documentRuleFromName(std::string_view name);

struct CorpusFile {
    std::filesystem::path file;
    double weight = 1.0;  // its share of the windows is this over the sum of all
};

struct CorpusSpec {
    std::vector<CorpusFile> files;
    ReaderOptions reader;
    DocumentRule documents = DocumentRule::Auto;

    CorpusSpec() = default;
    CorpusSpec(std::filesystem::path file) : files{{std::move(file), 1.0}} {}
};

struct CorpusSample {
    std::vector<std::vector<TokenId>> windows;  // [samples] of [length]
    CorpusSummary summary;
};

// Windows of several files alternate by weight, so that the first ones are a fair sample, too. Throws when a
// file has no window to give.
CorpusSample sampleCorpus(JobContext& job, const Tokenizer& tokenizer, const CorpusSpec& spec, int samples,
                          int length, std::uint64_t seed);

// The file of each of `samples` windows: the one furthest behind its share. Exposed for tests.
std::vector<std::size_t> apportion(const std::vector<double>& weights, int samples);

}  // namespace eigenscope
