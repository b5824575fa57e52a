// SPDX-License-Identifier: GPL-3.0-or-later
// What subcommands share: the options that mean the same everywhere, and a Run: one execution with its
// console, job, device and models. A subcommand is one file that adds itself to the parser and returns what
// to run. Main thread.
#pragma once

#include "app/cli/console.h"
#include "core/base/job_context.h"
#include "core/evaluation/memory_bound.h"
#include "core/generation/generate.h"
#include "core/model/model.h"
#include "kernels/api/registry.h"

#include <CLI/CLI.hpp>

#include <filesystem>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace eigenscope {

// Arguments that do not fit together: exit status 2.
class UsageError : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

// What `--kv-format` and its companions say.
struct KvArguments {
    std::string format = "auto", keys = "token";
    std::string format2;  // empty: as format
    int group = 32, recent = 0;
    bool quantised = false;  // set by a command whose own options ask for codes that these describe
};

struct CommonOptions {
    std::string device = "auto", compute = "auto", load_format = "auto";
    KvArguments kv;
    std::string stream = "auto", states = "auto", states_directory;
    int threads = 0;
    bool json = false, quiet = false;
};

class Run {
public:
    Run(const CommonOptions& options, Console& console, std::stop_token stop);

    Console& console() { return m_console; }
    JobContext& job() { return m_job; }
    // The chosen device, created on first use.
    const std::shared_ptr<Backend>& backend();
    // A directory or a preset, with the weights that --load-format names.
    OpenModel open(const std::filesystem::path& path);
    LoadFormat loadFormat() const {
        return m_options.load_format == "dummy" ? LoadFormat::Dummy : LoadFormat::Auto;
    }
    // Threads, arithmetic and cache format for this model; throws when the device does not do what was asked
    // for.
    RunOptions runOptions(const OpenModel& model);
    RunOptions secondRunOptions(const OpenModel& model);  // with --kv-format2
    StateOptions stateOptions() const;                    // --states, --states-directory
    // Says beforehand how much memory a run takes at most.
    void stateMemory(const MemoryBound& bound);
    std::optional<KvFormat> kvFormat() const;  // empty: automatic
    // What runs where, for results: "cpu" and "AMD EPYC ..., 2 threads, AVX-512"; the reason when a better
    // device is not used.
    ResultJson deviceJson();
    std::string deviceText();

private:
    RunOptions runOptions(const OpenModel& model, const std::optional<KvFormat>& format, const char* option);

    const CommonOptions& m_options;
    Console& m_console;
    JobContext m_job;
    BackendRegistry m_registry;
    BackendChoice m_choice;
};

struct Command {
    CLI::App* app;
    std::function<void(Run&)> run;
};

// --json, --quiet: every subcommand.
void addOutputOptions(CLI::App& app, CommonOptions& options);
// --device, --threads: subcommands that compute.
void addDeviceOptions(CLI::App& app, CommonOptions& options);
// --load-format: subcommands that take a model.
void addLoadFormatOption(CLI::App& app, CommonOptions& options);
// --device, --threads, --compute, --kv-format, --load-format, --stream, --states: subcommands that run a
// model.
void addModelOptions(CLI::App& app, CommonOptions& options);
// Fields of a result: memory_bound_bytes, streamed, states_spilled, and peak_resident_bytes until now.
void addMemory(ResultJson& json, const MemoryBound& bound);
// --kv-format with --kv-group, --kv-keys and --kv-recent.
void addKvFormatOption(CLI::App& app, CommonOptions& options);
void addKvFormat2Option(CLI::App& app, CommonOptions& options);
// --kv-group, --kv-keys and --kv-recent alone.
void addKvDetailOptions(CLI::App& app, CommonOptions& options);
// Throws UsageError when one of them was given but nothing is quantised.
void checkKvArguments(const KvArguments& arguments, bool quantised);
// Fields of a result: kv_format, and for a quantised one kv_group, kv_keys and kv_recent.
void addKvFormat(ResultJson& json, const KvFormat& format, const ModelConfig& config);
// "f16", "q4, groups of 64": for people; of a planned format what the checkpoint says.
std::string kvFormatText(const KvFormat& format, const ModelConfig& config);

// "8G", "512M", "24GiB", "1.5G", "1073741824": bytes, units of 1024.
std::optional<std::int64_t> parseByteSize(const std::string& text);

// Fails now rather than after an hour's work when the output cannot be written.
void checkWritableFile(const std::filesystem::path& file);
void checkWritableDirectory(const std::filesystem::path& directory);

}  // namespace eigenscope
