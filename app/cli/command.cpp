// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/command.h"

#include "app/backends.h"
#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/report/number_text.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <utility>

namespace eigenscope {

namespace {

std::string computeName(Compute compute) {
    return compute == Compute::F32 ? "f32" : compute == Compute::BF16 ? "bf16" : "f16";
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
    return openModel(m_job, backend(), path, loadFormat());
}

std::optional<DType> Run::kvFormat() const { return dtypeFromName(m_options.kv_format); }

RunOptions Run::runOptions(const OpenModel& model) {
    RunOptions run;
    run.threads = m_options.threads;
    run.kv_format = kvFormat();
    if (m_options.compute != "auto") {
        run.compute = m_options.compute == "f32"    ? Compute::F32
                      : m_options.compute == "bf16" ? Compute::BF16
                                                    : Compute::F16;
        const Support support =
            backend()->supports(Op::Gemm, {.weight = weightDType(*model.model), .compute = *run.compute});
        if (!support)
            failUnsupported(fmt::format("--compute {}: {}", computeName(*run.compute), support.reason));
    }
    if (run.kv_format) {
        const ModelConfig& config = model.model->config;
        const Support support =
            backend()->supports(Op::Attention, {.cache = *run.kv_format,
                                                .lift = config.rebuildsKeys(),
                                                .alibi = config.position == PositionKind::Alibi});
        if (!support)
            failUnsupported(fmt::format("--kv-format {}: {}", m_options.kv_format, support.reason));
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

void addModelOptions(CLI::App& app, CommonOptions& options) {
    addDeviceOptions(app, options);
    app.add_option(
           "--compute", options.compute,
           "Arithmetic of matrix products (auto: the fastest the device does well for the checkpoint)")
        ->check(CLI::IsMember({"auto", "f32", "f16", "bf16"}))
        ->capture_default_str();
    addKvFormatOption(app, options);
    addLoadFormatOption(app, options);
}

void addLoadFormatOption(CLI::App& app, CommonOptions& options) {
    app.add_option("--load-format", options.load_format,
                   "Weights: auto, the checkpoint's; dummy, random ones, for which config.json suffices")
        ->check(CLI::IsMember({"auto", "dummy"}))
        ->capture_default_str();
}

void addKvFormatOption(CLI::App& app, CommonOptions& options) {
    app.add_option("--kv-format", options.kv_format, "Format of the KV cache (auto: the checkpoint's dtype)")
        ->check(CLI::IsMember({"auto", "f32", "f16", "bf16"}))
        ->capture_default_str();
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
