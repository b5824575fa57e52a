// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/corpus_summary.h"

#include "core/base/hash.h"

#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace eigenscope {

namespace {

constexpr std::size_t kMostFiles = 4096, kMostNames = 64;

// The shortest text that reads as the same number; the same on every machine.
std::string numberText(double number) {
    std::array<char, 32> text{};
    const auto end = std::to_chars(text.data(), text.data() + text.size(), number).ptr;
    return std::string(text.data(), end);
}

}  // namespace

std::string CorpusSummary::fingerprint() const {
    if (files.size() == 1 && files.front().sampling == "whole")
        return files.front().fingerprint;
    double total = 0;
    for (const CorpusFileSummary& file : files)
        total += file.weight;
    Fingerprint all;
    all.add("field " + text_field + "\n");
    for (const CorpusFileSummary& file : files)
        all.add(file.fingerprint + " " + file.format + " " + file.sampling + " " +
                numberText(file.weight / total) + "\n");
    return all.hex();
}

std::string CorpusSummary::title() const {
    if (files.size() == 1)
        return files.front().name;
    std::string text;
    for (const CorpusFileSummary& file : files)
        text += (text.empty() ? "" : " + ") + file.name + " x " + numberText(file.weight);
    return text;
}

Json toJson(const CorpusSummary& summary) {
    Json files = Json::array();
    for (const CorpusFileSummary& file : summary.files)
        files.push_back({{"name", file.name},
                         {"fingerprint", file.fingerprint},
                         {"format", file.format},
                         {"sampling", file.sampling},
                         {"weight", file.weight},
                         {"documents", file.documents},
                         {"windows", file.windows}});
    return {{"files", files}, {"text_field", summary.text_field}};
}

CorpusSummary readCorpusSummary(const JsonView& json) {
    constexpr std::int64_t kMany = std::numeric_limits<std::int64_t>::max();
    CorpusSummary summary;
    summary.text_field = json.stringOr("text_field", "");
    const JsonView files = json.at("files");
    if (files.size() > kMostFiles)
        files.fail("has more than " + std::to_string(kMostFiles) + " entries");
    for (std::size_t i = 0; i < files.size(); ++i) {
        const JsonView entry = files.at(i);
        CorpusFileSummary file;
        file.name = entry.at("name").string();
        file.fingerprint = entry.at("fingerprint").string();
        file.format = entry.at("format").string();
        file.sampling = entry.at("sampling").string();
        file.weight = entry.at("weight").number();
        if (!(file.weight > 0) || !std::isfinite(file.weight))
            entry.at("weight").fail("expected a number above 0");
        file.documents = entry.integer("documents", 0, kMany);
        file.windows = entry.integer("windows", 0, kMany);
        summary.files.push_back(std::move(file));
    }
    return summary;
}

std::string firstDifference(const RunIdentity& a, const RunIdentity& b) {
    const auto valueIn = [](const RunIdentity& identity, const std::string& name) -> const std::string* {
        for (const auto& [key, value] : identity) {
            if (key == name)
                return &value;
        }
        return nullptr;
    };
    for (const auto* side : {&a, &b}) {
        for (const auto& [name, value] : *side) {
            const std::string* first = valueIn(a, name);
            const std::string* second = valueIn(b, name);
            if (!first || !second || *first != *second)
                return name;
        }
    }
    return {};
}

Json toJson(const RunIdentity& identity) {
    Json json = Json::array();
    for (const auto& [name, value] : identity)
        json.push_back(Json::array({name, value}));
    return json;
}

RunIdentity readRunIdentity(const JsonView& json) {
    RunIdentity identity;
    if (json.size() > kMostNames)
        json.fail("has more than " + std::to_string(kMostNames) + " entries");
    for (std::size_t i = 0; i < json.size(); ++i) {
        const JsonView pair = json.at(i);
        identity.emplace_back(pair.at(std::size_t{0}).string(), pair.at(std::size_t{1}).string());
    }
    return identity;
}

}  // namespace eigenscope
