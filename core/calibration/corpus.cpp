// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/corpus.h"

#include "core/base/fail.h"
#include "core/calibration/document_reader.h"
#include "core/calibration/random_draw.h"

#include <algorithm>
#include <random>

namespace eigenscope {

namespace {

constexpr std::size_t kMaxText = std::size_t{1} << 30;

}  // namespace

Corpus readCorpus(JobContext& job, const Tokenizer& tokenizer, const std::filesystem::path& file,
                  bool add_special, const std::string& text_field) {
    job.checkCancelled();
    job.progress("reading text", 0, 0);
    ReaderOptions options;
    options.text_field = text_field;
    options.whole_bytes = kMaxText;
    DocumentReader reader(job, file, options);
    std::string text;
    for (Document document; reader.next(document);) {
        if (text.empty())
            text = std::move(document.text);
        else
            text += "\n\n" + document.text;
        if (text.size() > kMaxText || (reader.format() == TextFormat::Plain && !reader.whole()))
            failInput(file, "is larger than " + std::to_string(kMaxText) + " bytes");
    }
    if (text.empty())
        failInput(file, "has no document with text");
    Corpus corpus;
    corpus.file = file;
    corpus.fingerprint = reader.fingerprint();
    job.checkCancelled();
    corpus.ids = tokenizer.encode(text, add_special, job.stopToken());
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
