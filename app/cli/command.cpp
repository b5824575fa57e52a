// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/command.h"

#include "app/backends.h"
#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/base/process_memory.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>
#include <utility>

namespace eigenscope {

namespace {

std::string computeName(Compute compute) {
    return compute == Compute::F32 ? "f32" : compute == Compute::BF16 ? "bf16" : "f16";
}

std::optional<KvFormat> formatOf(const KvArguments& arguments, const std::string& name) {
    const auto quantised = [](const std::string& format) {
        const auto parsed = kvFormatFromName(format);
        return parsed && parsed->hasCodes();
    };
    checkKvArguments(arguments,
                     arguments.quantised || quantised(arguments.format) || quantised(arguments.format2));
    auto format = kvFormatFromName(name);
    if (format && format->hasCodes()) {
        format->group = arguments.group;
        format->keys = *kvGroupingFromName(arguments.keys);
        format->recent = arguments.recent;
    }
    return format;
}

std::vector<std::string> formatNames() {
    std::vector<std::string> names = {"auto"};
    names.insert(names.end(), std::begin(kKvFormatNames), std::end(kKvFormatNames));
    return names;
}

}  // namespace

Run::Run(const CommonOptions& options, Console& console, std::stop_token stop)
    : m_options(options),
      m_console(console),
      m_job(std::move(stop), [&console](const Progress& progress) { console.progress(progress); }),
      m_registry(availableBackends()) {}

const std::shared_ptr<Backend>& Run::backend() {
    if (!m_choice.backend)
        m_choice = m_registry.choose(m_options.device);
    return m_choice.backend;
}

OpenModel Run::open(const std::filesystem::path& path) {
    return openModel(m_job, backend(), path, loadFormat(), streamModeFromName(m_options.stream));
}

StateOptions Run::stateOptions() const {
    return {stateStorageFromName(m_options.states), m_options.states_directory};
}

void Run::stateMemory(const MemoryBound& bound) {
    const auto bytes = [](std::int64_t count) { return text::bytes(static_cast<double>(count)); };
    m_console.message(fmt::format(
        "memory: at most {} ({} now, weights {}{}, states {}{}, statistics {}, working memory {})",
        bytes(bound.total()), bytes(bound.process), bytes(bound.weights),
        bound.streamed ? ", streamed layer by layer" : "", bytes(bound.states),
        bound.spilled ? ", the rest in a file" : "", bytes(bound.statistics),
        bytes(bound.working + MemoryBound::kAllowance)));
}

void addMemory(ResultJson& json, const MemoryBound& bound) {
    json["memory_bound_bytes"] = bound.total();
    json["streamed"] = bound.streamed;
    json["states_spilled"] = bound.spilled;
    json["peak_resident_bytes"] = peakResidentBytes();
}

std::optional<KvFormat> Run::kvFormat() const { return formatOf(m_options.kv, m_options.kv.format); }

RunOptions Run::runOptions(const OpenModel& model) { return runOptions(model, kvFormat(), "--kv-format"); }

RunOptions Run::secondRunOptions(const OpenModel& model) {
    if (m_options.kv.format2.empty())
        return runOptions(model);
    return runOptions(model, formatOf(m_options.kv, m_options.kv.format2), "--kv-format2");
}

RunOptions Run::runOptions(const OpenModel& model, const std::optional<KvFormat>& format,
                           const char* option) {
    RunOptions run;
    run.threads = m_options.threads;
    run.kv_format = format;
    run.states = stateOptions();
    if (m_options.compute != "auto") {
        run.compute = m_options.compute == "f32"    ? Compute::F32
                      : m_options.compute == "bf16" ? Compute::BF16
                                                    : Compute::F16;
        const Support support =
            backend()->supports(Op::Gemm, {.weight = weightDType(*model.model), .compute = *run.compute});
        if (!support)
            failUnsupported(fmt::format("--compute {}: {}", computeName(*run.compute), support.reason));
    }
    if (format) {
        const Support support = supportsKvFormat(*backend(), model.model->config, *format);
        if (!support)
            failUnsupported(fmt::format("{} {}: {}", option, nameOf(*format), support.reason));
    }
    return run;
}

ResultJson Run::deviceJson() {
    const DeviceInfo& info = backend()->info();
    ResultJson json = {{"backend", info.backend}, {"name", info.name}, {"instructions", info.instructions}};
    json["fallback_reason"] =
        m_choice.fallback_reason.empty() ? ResultJson(nullptr) : ResultJson(m_choice.fallback_reason);
    return json;
}

std::string Run::deviceText() {
    const DeviceInfo& info = backend()->info();
    std::string text = info.backend + ", " + info.name;
    if (!info.instructions.empty())
        text += ", " + info.instructions;
    return text;
}

void addOutputOptions(CLI::App& app, CommonOptions& options) {
    app.add_flag("--json", options.json, "Print one JSON object on standard output");
    app.add_flag("--quiet,-q", options.quiet, "No progress and no messages");
}

void addDeviceOptions(CLI::App& app, CommonOptions& options) {
    std::vector<std::string> devices = {"auto"};
    const BackendRegistry registry = availableBackends();
    for (const BackendEntry& entry : registry.entries())
        devices.push_back(entry.name);
    app.add_option("--device", options.device, "Where to compute (auto: the fastest there is)")
        ->check(CLI::IsMember(devices))
        ->capture_default_str();
    app.add_option("--threads", options.threads, "Threads on the CPU (0: as many as the processor has)")
        ->check(CLI::Range(0, 4096))
        ->capture_default_str();
}

namespace {

void addStreamOptions(CLI::App& app, CommonOptions& options) {
    app.add_option(
           "--stream", options.stream,
           "Weights: on, one layer's in memory at a time; off, all at once; auto, streamed when they do "
           "not fit into the device's memory with room to spare")
        ->check(CLI::IsMember({"auto", "on", "off"}))
        ->capture_default_str();
    app.add_option(
           "--states", options.states,
           "Hidden states of all windows between two layers of a streamed model: memory, file, or auto, "
           "a file when they would take more than a quarter of what is available")
        ->check(CLI::IsMember({"auto", "memory", "file"}))
        ->capture_default_str();
    app.add_option("--states-directory", options.states_directory,
                   "Where that file lies (default: $TMPDIR, else /var/tmp)");
}

}  // namespace

void addModelOptions(CLI::App& app, CommonOptions& options) {
    addDeviceOptions(app, options);
    app.add_option(
           "--compute", options.compute,
           "Arithmetic of matrix products (auto: the fastest the device does well for the checkpoint)")
        ->check(CLI::IsMember({"auto", "f32", "f16", "bf16"}))
        ->capture_default_str();
    addKvFormatOption(app, options);
    addLoadFormatOption(app, options);
    addStreamOptions(app, options);
}

void addLoadFormatOption(CLI::App& app, CommonOptions& options) {
    app.add_option("--load-format", options.load_format,
                   "Weights: auto, the checkpoint's; dummy, random ones, for which config.json suffices")
        ->check(CLI::IsMember({"auto", "dummy"}))
        ->capture_default_str();
}

void addKvFormatOption(CLI::App& app, CommonOptions& options) {
    app.add_option(
           "--kv-format", options.kv.format,
           "Format of the KV cache: a dtype, or 8, 4, 3 or 2 bits an element (auto: what the checkpoint "
           "was planned with, else its dtype)")
        ->check(CLI::IsMember(formatNames()))
        ->capture_default_str();
    addKvDetailOptions(app, options);
}

void addKvFormat2Option(CLI::App& app, CommonOptions& options) {
    app.add_option(
           "--kv-format2", options.kv.format2,
           "Format of MODEL2's KV cache; auto: what it was planned with, else its dtype. Without it, as "
           "--kv-format")
        ->check(CLI::IsMember(formatNames()));
}

void addKvDetailOptions(CLI::App& app, CommonOptions& options) {
    app.add_option("--kv-group", options.kv.group,
                   "Elements of a quantised cache that share a scale and a minimum, a multiple of 8")
        ->check([](const std::string& text) {
            int group = 0;
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), group);
            const bool good = error == std::errc() && end == text.data() + text.size() && group >= 8 &&
                              group <= kMostGroup && group % 8 == 0;
            return good ? std::string()
                        : fmt::format("expected a multiple of 8 up to {}, found {}", kMostGroup, text);
        })
        ->capture_default_str();
    app.add_option(
           "--kv-keys", options.kv.keys,
           "Groups of a quantised cache's keys: along a token's key, or along the tokens of a channel")
        ->check(CLI::IsMember({"token", "channel"}))
        ->capture_default_str();
    app.add_option("--kv-recent", options.kv.recent, "Newest positions that a quantised cache keeps exact")
        ->check(CLI::Range(0, kMostRecent))
        ->capture_default_str();
}

void checkKvArguments(const KvArguments& arguments, bool quantised) {
    if (quantised)
        return;
    for (const auto& [given, option] : {std::pair(arguments.group != KvArguments().group, "--kv-group"),
                                        std::pair(arguments.keys != KvArguments().keys, "--kv-keys"),
                                        std::pair(arguments.recent != KvArguments().recent, "--kv-recent")}) {
        if (given)
            throw UsageError(std::string(option) +
                             " belongs to a quantised cache: --kv-format q8, q4, q3 or q2");
    }
}

void addKvFormat(ResultJson& json, const KvFormat& format, const ModelConfig& config) {
    json["kv_format"] = nameOf(format);
    if (format.planned && config.low_rank) {
        json["key_bits"] = config.low_rank->kv_bits.keys;
        json["value_bits"] = config.low_rank->kv_bits.values;
        json["kv_group"] = config.low_rank->kv_bits.group;
        json["kv_keys"] = nameOf(config.low_rank->kv_bits.key_grouping);
        json["kv_recent"] = config.low_rank->kv_bits.recent;
    } else if (format.bits != 0) {
        json["kv_group"] = format.group;
        json["kv_keys"] = nameOf(format.keys);
        json["kv_recent"] = format.recent;
    }
}

std::string kvFormatText(const KvFormat& format, const ModelConfig& config) {
    return format.planned && config.low_rank ? config.low_rank->kv_bits.text() : textOf(format);
}

std::optional<std::int64_t> parseByteSize(const std::string& text) {
    std::size_t used = 0;
    double value = 0;
    try {
        value = std::stod(text, &used);
    } catch (const std::exception&) {
        return std::nullopt;
    }
    std::string unit = text.substr(used);
    for (const std::string_view ending : {"iB", "B", "ib", "b"}) {
        if (unit.ends_with(ending)) {
            unit.resize(unit.size() - ending.size());
            break;
        }
    }
    int shift = 0;
    if (!unit.empty()) {
        constexpr std::string_view kUnits = "KMGT";
        const std::size_t index = kUnits.find(static_cast<char>(std::toupper(unit[0])));
        if (unit.size() != 1 || index == std::string_view::npos)
            return std::nullopt;
        shift = 10 * static_cast<int>(index + 1);
    }
    value = std::ldexp(value, shift);
    if (!(value >= 1) || value > static_cast<double>(std::numeric_limits<std::int64_t>::max() / 2))
        return std::nullopt;
    return static_cast<std::int64_t>(value);
}

void checkWritableFile(const std::filesystem::path& file) { AtomicFile probe(file); }

void checkWritableDirectory(const std::filesystem::path& directory) { AtomicDirectory probe(directory); }

}  // namespace eigenscope
