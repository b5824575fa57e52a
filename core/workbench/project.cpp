// SPDX-License-Identifier: Apache-2.0
#include "core/workbench/project.h"

#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/base/json.h"
#include "core/spectrum/plan_file.h"
#include "core/workbench/project_paths.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace eigenscope {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kFormat = "eigenscope.project";
// A plan of a few hundred layers and all measurements take a tenth of it.
constexpr std::size_t kMostBytes = std::size_t{4} << 20;
constexpr int kMostLayers = 1 << 16, kMostHeads = 1 << 16;
constexpr std::int64_t kMostCount = std::int64_t{1} << 53;  // a JSON number holds it exactly
constexpr int kMostRuns = std::numeric_limits<int>::max();

// Empty where the number is not finite, which JSON cannot hold.
void put(Json& json, const char* key, const std::optional<double>& value) {
    if (value && std::isfinite(*value))
        json[key] = *value;
}

std::optional<double> fromZero(const JsonView& json, const char* key) {
    const auto found = json.find(key);
    if (!found)
        return std::nullopt;
    const double value = found->number();
    if (!(value >= 0.0))
        found->fail("expected a number from 0");
    return value;
}

std::optional<double> shareIn(const JsonView& json, const char* key) {
    const auto value = fromZero(json, key);
    if (value && *value > 1.0)
        json.at(key).fail("expected a number from 0 to 1");
    return value;
}

std::string textIn(const JsonView& json, const char* key) {
    const JsonView view = json.at(key);
    std::string text = view.string();
    checkProjectText(view.file(), view.field(), text);
    return text;
}

// "2026-11-28T18:03:11Z", in UTC.
std::string timeText(std::chrono::sys_seconds time) {
    const auto day = std::chrono::floor<std::chrono::days>(time);
    const std::chrono::year_month_day date(day);
    const std::chrono::hh_mm_ss clock(time - day);
    char text[64];
    std::snprintf(text, sizeof text, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                  static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                  static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                  static_cast<int>(clock.seconds().count()));
    return text;
}

std::chrono::sys_seconds timeIn(const JsonView& json) {
    const std::string text = json.string();
    constexpr std::string_view kPattern = "0000-00-00T00:00:00Z";
    bool fits = text.size() == kPattern.size();
    for (std::size_t i = 0; fits && i < text.size(); ++i)
        fits = kPattern[i] == '0' ? text[i] >= '0' && text[i] <= '9' : text[i] == kPattern[i];
    const auto number = [&](std::size_t at, std::size_t length) {
        int value = 0;
        for (std::size_t i = at; fits && i < at + length; ++i)
            value = 10 * value + (text[i] - '0');
        return value;
    };
    const std::chrono::year_month_day date(std::chrono::year(number(0, 4)),
                                           std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                           std::chrono::day(static_cast<unsigned>(number(8, 2))));
    const int hour = number(11, 2), minute = number(14, 2), second = number(17, 2);
    if (!fits || !date.ok() || hour > 23 || minute > 59 || second > 59)
        json.fail("expected a time in UTC such as 2026-11-28T18:03:11Z");
    return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
           std::chrono::seconds(second);
}

Json modelJson(const MeasuredModel& model, const fs::path& file, const std::string& field) {
    checkProjectText(file, field + ".name", model.name);
    checkProjectText(file, field + ".kv_format", model.kv_format);
    Json json = {{"name", model.name},
                 {"kv_format", model.kv_format},
                 {"kv_ratio", model.kv_ratio},
                 {"kv_cache_bytes", model.kv_cache_bytes},
                 {"peak_memory_bytes", model.peak_memory_bytes}};
    put(json, "perplexity", model.perplexity);
    put(json, "perplexity_standard_error", model.perplexity_error);
    put(json, "ttft_ms", model.ttft_ms);
    put(json, "tpot_ms", model.tpot_ms);
    return json;
}

MeasuredModel readModel(const JsonView& json) {
    MeasuredModel model;
    model.name = textIn(json, "name");
    model.kv_format = textIn(json, "kv_format");
    const JsonView ratio = json.at("kv_ratio");
    model.kv_ratio = ratio.number();
    if (!(model.kv_ratio > 0.0))
        ratio.fail("expected a number above 0");
    model.perplexity = fromZero(json, "perplexity");
    model.perplexity_error = fromZero(json, "perplexity_standard_error");
    model.ttft_ms = fromZero(json, "ttft_ms");
    model.tpot_ms = fromZero(json, "tpot_ms");
    model.kv_cache_bytes = static_cast<std::uint64_t>(json.integer("kv_cache_bytes", 0, kMostCount));
    model.peak_memory_bytes = static_cast<std::uint64_t>(json.integer("peak_memory_bytes", 0, kMostCount));
    return model;
}

Json measurementJson(const KeptMeasurement& kept, const ProjectPaths& paths, const fs::path& file,
                     const std::string& field) {
    Json json = {{"measured", timeText(kept.measured)},
                 {"text", paths.written(kept.text, field + ".text")},
                 {"windows", kept.windows},
                 {"tokens", kept.tokens},
                 {"repetitions", kept.repetitions},
                 {"new_tokens", kept.new_tokens},
                 {"models", Json::array()}};
    for (std::size_t i = 0; i < kept.models.size(); ++i)
        json["models"].push_back(
            modelJson(kept.models[i], file, field + ".models[" + std::to_string(i) + "]"));
    put(json, "nats_lost", kept.nats_lost);
    put(json, "nats_lost_standard_error", kept.nats_lost_error);
    put(json, "kl_divergence", kept.kl_divergence);
    put(json, "kl_divergence_standard_error", kept.kl_divergence_error);
    put(json, "top1_agreement", kept.top1_agreement);
    put(json, "top1_agreement_standard_error", kept.top1_agreement_error);
    return json;
}

KeptMeasurement readMeasurement(const JsonView& json, const ProjectPaths& paths) {
    KeptMeasurement kept;
    kept.measured = timeIn(json.at("measured"));
    kept.text = paths.read(json.at("text"));
    kept.windows = json.integer("windows", 1, kMostCount);
    kept.tokens = json.integer("tokens", 1, kMostCount);
    kept.repetitions = static_cast<int>(json.integer("repetitions", 1, kMostRuns));
    kept.new_tokens = static_cast<int>(json.integer("new_tokens", 1, kMostRuns));
    const JsonView models = json.at("models");
    if (models.size() != kept.models.size())
        models.fail("expected 2 models, found " + std::to_string(models.size()));
    for (std::size_t i = 0; i < kept.models.size(); ++i)
        kept.models[i] = readModel(models.at(i));
    if (const auto lost = json.find("nats_lost"))
        kept.nats_lost = lost->number();
    kept.nats_lost_error = fromZero(json, "nats_lost_standard_error");
    kept.kl_divergence = fromZero(json, "kl_divergence");
    kept.kl_divergence_error = fromZero(json, "kl_divergence_standard_error");
    kept.top1_agreement = shareIn(json, "top1_agreement");
    kept.top1_agreement_error = fromZero(json, "top1_agreement_standard_error");
    return kept;
}

ProjectSelection readSelection(const JsonView& json) {
    ProjectSelection selection;
    selection.layer = static_cast<int>(json.integer("layer", 0, kMostLayers));
    selection.head = static_cast<int>(json.integerOr("head", -1, 0, kMostHeads));
    const JsonView side = json.at("side");
    const std::string name = side.string();
    if (name != "keys" && name != "values")
        side.fail("expected keys or values");
    selection.side = name == "keys" ? Side::Keys : Side::Values;
    return selection;
}

// What kind of file this is, and whether this program reads it, before anything else is said about it.
void checkHeader(const JsonView& root) {
    const auto format = root.find("format");
    if (!format || !format->json().is_string() || format->string() != kFormat)
        failField(root.file(), "format", "expected \"" + std::string(kFormat) + "\": this is no project");
    const JsonView version = root.at("version");
    const std::int64_t found = version.integer(1, kMostCount);
    if (found > Project::kVersion)
        version.fail("the project is of version " + std::to_string(found) +
                     ", which a newer Eigenscope wrote; this one reads version " +
                     std::to_string(Project::kVersion));
}

}  // namespace

void saveProject(const Project& project, const fs::path& file) {
    const ProjectPaths paths(file);
    Json json = {{"format", kFormat}, {"version", Project::kVersion}};
    json["model"] = paths.written(project.model, "model");
    if (project.comparison_model)
        json["comparison_model"] = paths.written(*project.comparison_model, "comparison_model");
    if (project.statistics)
        json["statistics"] = paths.written(*project.statistics, "statistics");
    if (project.converted)
        json["converted"] = paths.written(*project.converted, "converted");
    if (project.plan)
        json["plan"] = planJson(*project.plan);
    Json& selection = json["selection"];
    selection["layer"] = project.selection.layer;
    if (project.selection.head >= 0)
        selection["head"] = project.selection.head;
    selection["side"] = project.selection.side == Side::Keys ? "keys" : "values";
    const std::size_t count = project.measurements.size();
    for (std::size_t i = count - std::min(count, Project::kMostMeasurements); i < count; ++i)
        json["measurements"].push_back(
            measurementJson(project.measurements[i], paths, file, "measurements[" + std::to_string(i) + "]"));
    writeTextFile(file, json.dump(2) + "\n");
}

Project loadProject(const fs::path& file) {
    const Json json = parseJson(readTextFile(file, kMostBytes), file, DuplicateKeys::Reject);
    const JsonView root(json, file);
    checkHeader(root);
    const ProjectPaths paths(file);
    Project project;
    project.model = paths.readModel(root.at("model"));
    const auto path = [&](const char* key) {
        const auto found = root.find(key);
        return found ? std::optional(paths.read(*found)) : std::nullopt;
    };
    if (const auto other = root.find("comparison_model"))
        project.comparison_model = paths.readModel(*other);
    project.statistics = path("statistics");
    project.converted = path("converted");
    if (const auto plan = root.find("plan"))
        project.plan = readPlan(*plan);
    if (const auto selection = root.find("selection"))
        project.selection = readSelection(*selection);
    if (const auto measurements = root.find("measurements")) {
        if (measurements->size() > Project::kMostMeasurements)
            measurements->fail("expected at most " + std::to_string(Project::kMostMeasurements) +
                               " measurements, found " + std::to_string(measurements->size()));
        for (std::size_t i = 0; i < measurements->size(); ++i)
            project.measurements.push_back(readMeasurement(measurements->at(i), paths));
    }
    return project;
}

}  // namespace eigenscope
