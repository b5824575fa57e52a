// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/corpus_sample.h"

#include "core/base/fail.h"
#include "core/calibration/corpus.h"
#include "core/calibration/random_draw.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <tuple>

namespace eigenscope {

namespace {

using Windows = std::vector<std::vector<TokenId>>;

// A document's place in the random order of one round through all documents.
struct Place {
    std::uint64_t round = 0, priority = 0;
    std::int64_t record = 0;
    auto operator<=>(const Place&) const = default;
};

Place placeOf(std::uint64_t seed, std::int64_t record, std::uint64_t round) {
    const std::uint64_t document = mixBits(seed) ^ mixBits(static_cast<std::uint64_t>(record));
    return {round, mixBits(document + round), record};
}

// A window from each of the foremost documents.
class SeparateWindows {
public:
    SeparateWindows(std::size_t samples, std::size_t length, std::uint64_t seed)
        : m_samples(samples), m_length(length), m_seed(seed) {}

    // Whether a document of that many bytes would be used. A token is a byte or more, but for two special
    // ones around a text; normalisers that lengthen a text are passed over here.
    bool wants(std::int64_t record, std::size_t bytes) const {
        return bytes + 2 >= m_length && admits(placeOf(m_seed, record, 0));
    }

    void add(std::int64_t record, const std::vector<TokenId>& ids) {
        if (ids.size() < m_length)
            return;
        for (std::uint64_t round = 0;; ++round) {
            const Place place = placeOf(m_seed, record, round);
            if (!admits(place))
                return;
            std::mt19937_64 random(mixBits(place.priority));
            const auto begin =
                ids.begin() + static_cast<std::ptrdiff_t>(drawBelow(random, ids.size() - m_length + 1));
            m_windows.emplace(place,
                              std::vector<TokenId>(begin, begin + static_cast<std::ptrdiff_t>(m_length)));
            if (m_windows.size() > m_samples)
                m_windows.erase(std::prev(m_windows.end()));
        }
    }

    bool empty() const { return m_windows.empty(); }
    bool eachFromItsOwn() const {
        return m_windows.size() == m_samples && (m_samples == 0 || m_windows.rbegin()->first.round == 0);
    }
    Windows windows() const {
        Windows result;
        for (const auto& [place, window] : m_windows)
            result.push_back(window);
        return result;
    }

private:
    bool admits(const Place& place) const {
        return m_windows.size() < m_samples || (m_samples > 0 && place < m_windows.rbegin()->first);
    }

    std::size_t m_samples, m_length;
    std::uint64_t m_seed;
    std::map<Place, std::vector<TokenId>> m_windows;
};

// The foremost documents, as many as fill the windows.
class PackedWindows {
public:
    PackedWindows(std::size_t samples, std::size_t length, std::uint64_t seed)
        : m_samples(samples), m_length(length), m_seed(seed) {}

    bool wants(std::int64_t record) const {
        return m_total < needed() ||
               (!m_documents.empty() && placeOf(m_seed, record, 0) < m_documents.rbegin()->first);
    }

    void add(std::int64_t record, std::vector<TokenId> ids) {
        if (ids.empty())
            return;
        if (ids.size() > needed())
            ids.resize(needed());
        m_total += ids.size();
        m_documents.emplace(placeOf(m_seed, record, 0), std::move(ids));
        while (m_total - m_documents.rbegin()->second.size() >= needed() && m_documents.size() > 1) {
            m_total -= m_documents.rbegin()->second.size();
            m_documents.erase(std::prev(m_documents.end()));
        }
    }

    std::size_t tokens() const { return m_total; }

    // Expects at least a window's worth of tokens.
    Windows windows() const {
        std::vector<TokenId> stream;
        for (std::uint64_t round = 0; stream.size() < needed(); ++round) {
            std::map<Place, const std::vector<TokenId>*> order;
            for (const auto& [place, ids] : m_documents)
                order.emplace(placeOf(m_seed, place.record, round), &ids);
            for (const auto& [place, ids] : order) {
                if (stream.size() < needed())
                    stream.insert(stream.end(), ids->begin(), ids->end());
            }
        }
        Windows result;
        for (std::size_t i = 0; i < m_samples; ++i) {
            const auto begin = stream.begin() + static_cast<std::ptrdiff_t>(i * m_length);
            result.emplace_back(begin, begin + static_cast<std::ptrdiff_t>(m_length));
        }
        return result;
    }

private:
    std::size_t needed() const { return m_samples * m_length; }

    std::size_t m_samples, m_length;
    std::uint64_t m_seed;
    std::size_t m_total = 0;
    std::map<Place, std::vector<TokenId>> m_documents;
};

std::optional<TokenId> separatorOf(const Tokenizer& tokenizer) {
    return tokenizer.eos().empty() ? tokenizer.bos() : tokenizer.eos().front();
}

struct FileSample {
    Windows windows;
    CorpusFileSummary summary;
};

class FileSampler {
public:
    FileSampler(JobContext& job, const Tokenizer& tokenizer, const CorpusSpec& spec, int length)
        : m_job(job), m_tokenizer(tokenizer), m_spec(spec), m_length(length) {}

    FileSample sample(const CorpusFile& file, int count, std::uint64_t seed) {
        DocumentReader reader(m_job, file.file, m_spec.reader);
        FileSample result;
        Document document;
        const bool any = reader.next(document);
        if (any && reader.whole()) {
            result.windows = fromWhole(file, document, count, seed);
            result.summary.sampling = "whole";
        } else {
            SeparateWindows separate(static_cast<std::size_t>(count), static_cast<std::size_t>(m_length),
                                     seed);
            PackedWindows packed(static_cast<std::size_t>(count), static_cast<std::size_t>(m_length), seed);
            for (bool more = any; more; more = reader.next(document))
                addTo(separate, packed, document);
            if (reader.documents() == 0)
                failInput(file.file, "has no document with text, only " + std::to_string(reader.empty()) +
                                         " empty ones");
            const bool apart = isSeparate(separate);
            if (count > 0)
                result.windows =
                    apart ? fromSeparate(file, separate, reader.documents()) : fromPacked(file, packed);
            result.summary.sampling = apart ? "separate" : "packed";
        }
        result.summary.name = file.file.filename().string();
        result.summary.format = nameOf(reader.format());
        result.summary.fingerprint = reader.fingerprint();
        result.summary.weight = file.weight;
        result.summary.documents = reader.documents();
        result.summary.windows = count;
        return result;
    }

private:
    Windows fromWhole(const CorpusFile& file, const Document& document, int count, std::uint64_t seed) {
        Corpus corpus;
        corpus.file = file.file;
        m_job.checkCancelled();
        corpus.ids = m_tokenizer.encode(document.text, true, m_job.stopToken());
        m_job.checkCancelled();
        return count > 0 ? sampleWindows(corpus, count, m_length, seed) : Windows();
    }

    void addTo(SeparateWindows& separate, PackedWindows& packed, const Document& document) {
        if (m_spec.documents != DocumentRule::Packed && separate.wants(document.record, document.text.size()))
            separate.add(document.record, m_tokenizer.encode(document.text, true, m_job.stopToken()));
        if (m_spec.documents != DocumentRule::Separate && packed.wants(document.record)) {
            std::vector<TokenId> ids = m_tokenizer.encode(document.text, false, m_job.stopToken());
            if (const auto separator = separatorOf(m_tokenizer))
                ids.push_back(*separator);
            packed.add(document.record, std::move(ids));
        }
    }

    bool isSeparate(const SeparateWindows& separate) const {
        return m_spec.documents == DocumentRule::Separate ||
               (m_spec.documents == DocumentRule::Auto && separate.eachFromItsOwn());
    }

    Windows fromSeparate(const CorpusFile& file, const SeparateWindows& separate,
                         std::int64_t documents) const {
        if (separate.empty())
            failInput(file.file, "none of its " + std::to_string(documents) + " documents has the " +
                                     std::to_string(m_length) +
                                     " tokens of a window; take shorter windows or pack the documents");
        return separate.windows();
    }

    Windows fromPacked(const CorpusFile& file, const PackedWindows& packed) const {
        if (packed.tokens() < static_cast<std::size_t>(m_length))
            failInput(file.file, "its documents have " + std::to_string(packed.tokens()) +
                                     " tokens together, fewer than one window of " +
                                     std::to_string(m_length));
        return packed.windows();
    }

    JobContext& m_job;
    const Tokenizer& m_tokenizer;
    const CorpusSpec& m_spec;
    int m_length;
};

void checkSpec(const CorpusSpec& spec, int samples, int length) {
    if (spec.files.empty())
        throw Error(ErrorCode::InvalidInput, "calibration: expected at least one text file");
    for (const CorpusFile& file : spec.files) {
        if (!(file.weight >= 1e-6 && file.weight <= 1e6))
            failInput(file.file, "its weight: expected 0.000001 to 1000000");
    }
    if (samples < 1)
        throw Error(ErrorCode::InvalidInput, "samples " + std::to_string(samples) + ": expected 1 or more");
    if (length < 1)
        throw Error(ErrorCode::InvalidInput,
                    "sequence length " + std::to_string(length) + ": expected 1 or more");
}

}  // namespace

std::string_view nameOf(DocumentRule rule) {
    return rule == DocumentRule::Auto ? "auto" : rule == DocumentRule::Separate ? "separate" : "packed";
}

DocumentRule documentRuleFromName(std::string_view name) {
    for (const DocumentRule rule : {DocumentRule::Auto, DocumentRule::Separate, DocumentRule::Packed}) {
        if (nameOf(rule) == name)
            return rule;
    }
    throw Error(ErrorCode::InvalidInput,
                "unknown rule for documents '" + std::string(name) + "', expected auto, separate or packed");
}

std::vector<std::size_t> apportion(const std::vector<double>& weights, int samples) {
    // In whole numbers, so that rounding never decides.
    std::vector<std::int64_t> shares, given(weights.size(), 0);
    const double largest = *std::max_element(weights.begin(), weights.end());
    std::int64_t total = 0;
    for (const double weight : weights) {
        shares.push_back(std::max<std::int64_t>(1, std::llround(weight / largest * 1e6)));
        total += shares.back();
    }
    std::vector<std::size_t> result;
    for (std::int64_t i = 1; i <= samples; ++i) {
        std::size_t best = 0;
        for (std::size_t f = 1; f < weights.size(); ++f) {
            if (shares[f] * i - given[f] * total > shares[best] * i - given[best] * total)
                best = f;
        }
        ++given[best];
        result.push_back(best);
    }
    return result;
}

CorpusSample sampleCorpus(JobContext& job, const Tokenizer& tokenizer, const CorpusSpec& spec, int samples,
                          int length, std::uint64_t seed) {
    checkSpec(spec, samples, length);
    std::vector<double> weights;
    for (const CorpusFile& file : spec.files)
        weights.push_back(file.weight);
    const std::vector<std::size_t> turns = apportion(weights, samples);
    FileSampler sampler(job, tokenizer, spec, length);
    CorpusSample result;
    result.summary.text_field = spec.reader.text_field;
    std::vector<Windows> windows;
    for (std::size_t f = 0; f < spec.files.size(); ++f) {
        const auto count = static_cast<int>(std::count(turns.begin(), turns.end(), f));
        // The same file given twice gives other windows the second time.
        FileSample sample = sampler.sample(spec.files[f], count, f == 0 ? seed : mixBits(seed + f));
        result.summary.files.push_back(std::move(sample.summary));
        windows.push_back(std::move(sample.windows));
    }
    std::vector<std::size_t> taken(windows.size(), 0);
    for (const std::size_t f : turns)
        result.windows.push_back(std::move(windows[f][taken[f]++]));
    return result;
}

}  // namespace eigenscope
