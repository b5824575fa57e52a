// SPDX-License-Identifier: Apache-2.0
// What statistics say about the texts they were made from, and what decides whether two runs are the same.
// Plain values.
#pragma once

#include "core/base/json.h"

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace eigenscope {

struct CorpusFileSummary {
    std::string name;         // without folders
    std::string fingerprint;  // of the unpacked bytes
    std::string format;       // "text" or "records"
    std::string sampling;     // "whole", "separate" or "packed"
    double weight = 1.0;
    std::int64_t documents = 0, windows = 0;
    bool operator==(const CorpusFileSummary&) const = default;
};

struct CorpusSummary {
    std::vector<CorpusFileSummary> files;
    std::string text_field;  // empty: as the reader chooses
    // Of one plain text its own; else of all files' fingerprints, shares, ways of sampling and the field.
    std::string fingerprint() const;
    std::string title() const;  // "c4.jsonl.gz x 2 + notes.txt x 1"; of one file its name
    bool operator==(const CorpusSummary&) const = default;
};

Json toJson(const CorpusSummary& summary);
CorpusSummary readCorpusSummary(const JsonView& json);

// Everything that a calibration's result depends on, by name: {"model", ...}, {"corpus", ...}, {"seed", "0"}.
// Runs with equal identities give equal statistics on the same device with the same number of threads.
using RunIdentity = std::vector<std::pair<std::string, std::string>>;
// The first name whose value differs, or "".
std::string firstDifference(const RunIdentity& a, const RunIdentity& b);
Json toJson(const RunIdentity& identity);
RunIdentity readRunIdentity(const JsonView& json);

}  // namespace eigenscope
