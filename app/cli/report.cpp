// SPDX-License-Identifier: GPL-3.0-or-later
// report MODEL: the whole tour without a screen: inspect, calibrate, spectrum, plan, convert, compare. Leaves
// a page, the converted checkpoint and the tables in one directory.
#include "core/report/report.h"
#include "app/cli/commands.h"
#include "app/cli/model_facts.h"
#include "app/cli/results.h"
#include "core/base/atomic_output.h"
#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "core/model/kv_cache.h"
#include "core/report/number_text.h"
#include "core/report/spectrum_csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>

namespace eigenscope {

namespace {

constexpr const char* kStatisticsFile = "calibration.stats.safetensors";
constexpr const char* kConvertedFolder = "converted";
// KV ratios of the trade-off picture, besides the original.
constexpr int kTradeOffWindows = 4;
constexpr double kTradeOffRatios[] = {0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2};

struct Options {
    std::string model, calibration_text, text, prompt, output;
    int samples = 64;
    std::uint64_t calibration_seed = 0;
    int windows = 16, sequence_length = 0;
    int rank_multiple = 8;
    double kv_ratio = 0.6;
    GenerationArguments generation;
};

std::string shellQuoted(const std::string& text) {
    constexpr std::string_view kPlain =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,:=+@%";
    if (!text.empty() && text.find_first_not_of(kPlain) == std::string::npos)
        return text;
    std::string quoted = "'";
    for (const char c : text)
        quoted += c == '\'' ? std::string("'\\''") : std::string(1, c);
    return quoted + "'";
}

// The text's first sentence, or its first words.
std::string promptFrom(const std::filesystem::path& text) {
    const std::string content = readTextFile(text);
    const std::size_t start = content.find_first_not_of(" \n\r\t");
    if (start == std::string::npos)
        return content;
    const std::size_t sentence = content.find_first_of(".!?\n", start);
    std::size_t end = sentence == std::string::npos ? content.size() : sentence + (content[sentence] != '\n');
    constexpr std::size_t kLongest = 200;
    if (end - start > kLongest) {
        end = content.rfind(' ', start + kLongest);
        if (end == std::string::npos || end <= start)
            end = start + kLongest;
    }
    return content.substr(start, end - start);
}

class Tour {
public:
    Tour(Run& run, const Options& options)
        : m_run(run), m_options(options), m_output(options.output), m_folder(m_output.path()) {}

    void perform() {
        m_output.fill([this] { makeContents(); });
        m_output.commit();
        printResults();
    }

private:
    void makeContents() {
        openOriginal();
        m_run.console().setStep("1/6 statistics");
        calibrateOriginal();
        m_run.console().setStep("2/6 spectrum");
        choosePlan();
        m_run.console().setStep("3/6 conversion");
        convertOriginal();
        m_run.console().setStep("4/6 original and converted");
        compareBoth();
        measureTradeOff();
        m_data.commands = commands();
        writeTextFile(m_folder / "report.html", renderReport(m_data));
    }

    void openOriginal() {
        const ModelFacts facts = readModelFacts(m_options.model, m_run.loadFormat());
        m_original = m_run.open(m_options.model);
        m_run_options = m_run.runOptions(m_original);
        m_format = resolveKvFormat(m_run_options, m_original);
        // A text that cannot be used is found now, not after the calibration.
        evaluationWindows(m_run.job(), *m_original.tokenizer, m_original.model->config.max_positions,
                          m_options.text, perplexityOptions(m_options.windows));
        m_data.prompt = m_options.prompt.empty() ? promptFrom(m_options.text) : m_options.prompt;
        m_data.model_name = m_original.name;
        m_data.device = m_run.deviceText();
        m_data.facts = factsText(facts, m_format, m_original.tokenizer->description());
        m_data.text_name = std::filesystem::path(m_options.text).filename().string();
    }

    void calibrateOriginal() {
        CalibrationOptions calibration;
        calibration.samples = m_options.samples;
        calibration.sequence_length =
            std::min(m_options.sequence_length > 0 ? m_options.sequence_length : 2048,
                     m_original.model->config.max_positions);
        calibration.seed = m_options.calibration_seed;
        calibration.run = m_run_options;
        m_statistics = calibrate(m_run.job(), m_original, std::filesystem::path(m_options.calibration_text),
                                 calibration);
        saveStatistics(m_statistics, m_folder / kStatisticsFile);
        m_data.calibration = fmt::format("calibrated on {}, {} × {} tokens", m_statistics.calibration.text,
                                         calibration.samples, calibration.sequence_length);
    }

    void choosePlan() {
        m_data.spectrum = computeSpectrum(m_run.job(), *m_run.backend(), m_statistics, "eigen");
        m_data.plan = fullPlan(*m_data.spectrum, m_options.rank_multiple);
        applyKvRatio(m_data.plan, *m_data.spectrum, m_options.kv_ratio);
        m_data.kv_ratio = kvRatioOf(m_data.plan, m_data.spectrum->basisWidth());
        savePlan(m_data.plan, m_folder / "plan.json");
        writeTextFile(m_folder / "spectra.csv", spectrumCsv(*m_data.spectrum));
    }

    void convertOriginal() {
        const OpenModel overlay =
            convertInMemory(m_run.job(), m_original, m_statistics, *m_data.spectrum, m_data.plan);
        m_data.layer_errors =
            layerErrors(m_run.job(), m_original, overlay, m_statistics.probe_windows, m_run_options);
        writeConverted(m_run.job(), m_original, overlay, m_folder / kConvertedFolder);
        writeTextFile(m_folder / "plan.csv", planCsv(m_data.plan, *m_data.spectrum, m_data.layer_errors));
        m_converted = openModel(m_run.job(), m_run.backend(),
                                m_folder / kConvertedFolder);  // what is on disk is what is measured
        m_data.kv_bytes_per_token[0] = kvBytesPerToken(m_original.model->config, m_format);
        m_data.kv_bytes_per_token[1] = kvBytesPerToken(m_converted.model->config, m_format);
        m_data.weight_bytes[0] = m_original.model->weightBytes();
        m_data.weight_bytes[1] = m_converted.model->weightBytes();
    }

    PerplexityOptions perplexityOptions(int windows) const {
        PerplexityOptions options;
        options.sequence_length = m_options.sequence_length;
        options.windows = windows;
        options.run = m_run_options;
        return options;
    }

    GenerationResult continuation(const OpenModel& model) {
        GenerationOptions generation = m_options.generation.options;
        generation.run = m_run_options;
        return generate(m_run.job(), model, m_data.prompt, generation);
    }

    void compareBoth() {
        m_data.comparison = compareModels(m_run.job(), m_original, m_converted, m_options.text,
                                          perplexityOptions(m_options.windows));
        m_run.console().setStep("5/6 the same prompt");
        continuation(m_original);  // the first run of a program also pays for waking the machine
        m_data.generations[0] = continuation(m_original);
        m_data.generations[1] = continuation(m_converted);
        std::string csv = "token,kl_divergence\n";
        for (std::size_t i = 0; i < m_data.comparison.token_kl.size(); ++i)
            csv += fmt::format("{},{:.9g}\n", i, m_data.comparison.token_kl[i]);
        writeTextFile(m_folder / "token-kl.csv", csv);
    }

    void measureTradeOff() {
        // A curve's shape needs fewer windows than a figure.
        const PerplexityOptions options = perplexityOptions(std::min(m_options.windows, kTradeOffWindows));
        for (const double target : kTradeOffRatios) {
            m_run.console().setStep(fmt::format("6/6 KV ratio {:g}", target));
            RankPlan plan = m_data.plan;
            try {
                applyKvRatio(plan, *m_data.spectrum, target);
            } catch (const Error&) {
                break;  // below the smallest ranks
            }
            const double ratio = kvRatioOf(plan, m_data.spectrum->basisWidth());
            if (!m_data.trade_off.empty() && ratio >= m_data.trade_off.back().kv_ratio)
                continue;  // coarse ranks: the plan before already had it
            const OpenModel overlay =
                convertInMemory(m_run.job(), m_original, m_statistics, *m_data.spectrum, plan);
            const ComparisonResult result =
                compareModels(m_run.job(), m_original, overlay, m_options.text, options);
            if (m_data.trade_off.empty())
                m_data.trade_off.push_back({1, result.first.perplexity, 0, m_data.generations[0].text});
            m_data.trade_off.push_back(
                {ratio, result.second.perplexity, result.kl_divergence, continuation(overlay).text});
        }
        std::string csv = "kv_ratio,perplexity,kl_divergence\n";
        for (const TradeOffPoint& point : m_data.trade_off)
            csv +=
                fmt::format("{:.6g},{:.9g},{:.9g}\n", point.kv_ratio, point.perplexity, point.kl_divergence);
        writeTextFile(m_folder / "trade-off.csv", csv);
    }

    std::vector<std::string> commands() const {
        const std::filesystem::path output = m_options.output;
        const auto file = [&](const char* name) { return shellQuoted((output / name).string()); };
        const std::string model = shellQuoted(m_options.model);
        const auto& calibration = m_statistics.calibration;
        return {
            "eigenscope-cli inspect " + model,
            fmt::format("eigenscope-cli calibrate {} --text {} --samples {} --sequence-length {} --seed {} "
                        "--output {}",
                        model, shellQuoted(m_options.calibration_text), calibration.samples,
                        calibration.sequence_length, calibration.seed, file(kStatisticsFile)),
            fmt::format("eigenscope-cli spectrum {} --csv spectra.csv", file(kStatisticsFile)),
            fmt::format("eigenscope-cli plan {} --kv-ratio {:g} --rank-multiple {} --output plan.json",
                        file(kStatisticsFile), m_options.kv_ratio, m_options.rank_multiple),
            fmt::format("eigenscope-cli convert {} --stats {} --plan plan.json --output converted", model,
                        file(kStatisticsFile)),
            fmt::format("eigenscope-cli compare {} {} --text {} --windows {} --prompt {} --max-tokens {}",
                        model, file(kConvertedFolder), shellQuoted(m_options.text), m_options.windows,
                        shellQuoted(m_data.prompt), m_options.generation.options.max_tokens),
        };
    }

    void printResults() {
        const ComparisonResult& comparison = m_data.comparison;
        const std::string page = (std::filesystem::path(m_options.output) / "report.html").string();
        ResultJson json;
        json["output"] = m_options.output;
        json["report"] = page;
        json["kv_ratio"] = m_data.kv_ratio;
        json["perplexity"] = {comparison.first.perplexity, comparison.second.perplexity};
        json["kl_divergence"] = comparison.kl_divergence;
        json["top1_agreement"] = comparison.top1_agreement;
        json["layer_errors"] = m_data.layer_errors;
        json["generations"] = {toJson(m_data.generations[0]), toJson(m_data.generations[1])};
        json["trade_off"] = ResultJson::array();
        for (const TradeOffPoint& point : m_data.trade_off) {
            json["trade_off"].push_back({{"kv_ratio", point.kv_ratio},
                                         {"perplexity", point.perplexity},
                                         {"kl_divergence", point.kl_divergence},
                                         {"text", point.text}});
        }
        json["device"] = m_run.deviceJson();
        m_run.console().printResult(json);
        m_run.console().print(
            factLines({{"Model", m_data.model_name},
                       {"KV ratio", fmt::format("{:.4f}", m_data.kv_ratio)},
                       {"Perplexity", fmt::format("{} -> {}", text::fixed(comparison.first.perplexity, 3),
                                                  text::fixed(comparison.second.perplexity, 3))},
                       {"Prompt", m_data.prompt},
                       {"Original", m_data.generations[0].text},
                       {"Converted", m_data.generations[1].text},
                       {"Report", page}}));
    }

    Run& m_run;
    const Options& m_options;
    AtomicDirectory m_output;
    std::filesystem::path m_folder;
    OpenModel m_original, m_converted;
    RunOptions m_run_options;
    KvFormat m_format;
    Statistics m_statistics;
    ReportData m_data;
};

}  // namespace

Command addReport(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand(
        "report", "The whole tour: calibrate, plan, convert, compare, and a page that shows it");
    auto options = std::make_shared<Options>();
    options->generation.options.max_tokens = 120;
    constexpr int kMost = 1 << 30;
    sub->add_option("MODEL", options->model, "Checkpoint directory, not a converted one")->required();
    sub->add_option("--calibration-text", options->calibration_text, "Text to calibrate on")->required();
    sub->add_option("--text", options->text, "Held-out text to compare on")->required();
    sub->add_option("--output,-o", options->output, "Directory to write; must not exist or be empty")
        ->required();
    sub->add_option("--kv-ratio", options->kv_ratio,
                    "Converted KV-cache bytes / original KV-cache bytes, at most")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str();
    sub->add_option("--rank-multiple", options->rank_multiple, "Ranks are multiples of this")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    sub->add_option("--prompt,-p", options->prompt,
                    "Text both continue (default: the held-out text's first sentence)");
    sub->add_option("--samples", options->samples, "Calibration windows")
        ->check(CLI::Range(1, kMost))
        ->capture_default_str();
    sub->add_option("--calibration-seed", options->calibration_seed, "Seed of their places")
        ->capture_default_str();
    sub->add_option("--windows", options->windows, "Windows of the held-out text, at most")
        ->check(CLI::Range(1, kMost))
        ->capture_default_str();
    sub->add_option("--sequence-length", options->sequence_length,
                    "Tokens of a window (default: the model's positions, at most 2048)")
        ->check(CLI::Range(2, kMost));
    addGenerationOptions(*sub, options->generation);
    addModelOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { Tour(run, *options).perform(); }};
}

}  // namespace eigenscope
