// SPDX-License-Identifier: GPL-3.0-or-later
// spectrum STATS: eigenvalues of every layer's and head's keys and values.
#include "app/cli/basis_arguments.h"
#include "app/cli/commands.h"
#include "core/base/atomic_output.h"
#include "core/base/fail.h"
#include "core/report/spectrum_csv.h"

#ifdef EIGENSCOPE_HAS_FIGURES
#include "app/cli/spectrum_figure.h"
#endif

#include <fmt/format.h>

#include <memory>

namespace eigenscope {

namespace {

struct Options {
    std::string statistics, csv, png;
    BasisArguments basis;
    int layer = -1, head = -1;  // -1: all
};

// [first, last) of `count`, or the chosen one.
std::pair<int, int> range(int chosen, int count, const char* option) {
    if (chosen >= count)
        throw Error(ErrorCode::InvalidInput,
                    fmt::format("{} {}: expected 0 to {}", option, chosen, count - 1));
    return chosen < 0 ? std::pair{0, count} : std::pair{chosen, chosen + 1};
}

ResultJson sideJson(const Spectrum& spectrum, int layer, Side side, std::pair<int, int> heads) {
    ResultJson eigenvalues = ResultJson::array();
    for (int head = heads.first; head < heads.second; ++head)
        eigenvalues.push_back(spectrum.basis(layer, side, head).eigenvalues);
    return {{"eigenvalues", eigenvalues}};
}

// Ranks that keep 90, 95 and 99 % of the energy, largest over the heads.
std::string summaryTable(const Spectrum& spectrum, std::pair<int, int> layers) {
    std::vector<std::vector<std::string>> rows = {
        {"layer", "keys 90 %", "95 %", "99 %", "values 90 %", "95 %", "99 %"}};
    for (int layer = layers.first; layer < layers.second; ++layer) {
        rows.push_back({std::to_string(layer)});
        for (const Side side : {Side::Keys, Side::Values}) {
            for (const double threshold : {0.90, 0.95, 0.99})
                rows.back().push_back(
                    std::to_string(spectrum.rankOf(layer, side, threshold, Criterion::Energy, 1)));
        }
    }
    return fmt::format("Rank that keeps a share of the energy, of {} dimensions (largest of {} heads)\n",
                       spectrum.basisWidth(), spectrum.heads()) +
           tableLines(rows);
}

std::string eigenvalueTable(const Spectrum& spectrum, int layer, int head) {
    std::vector<std::vector<std::string>> rows = {
        {"rank", "key eigenvalue", "kept", "value eigenvalue", "kept"}};
    for (int i = 0; i < spectrum.basisWidth(); ++i) {
        rows.push_back({std::to_string(i + 1)});
        for (const Side side : {Side::Keys, Side::Values}) {
            const HeadBasis& basis = spectrum.basis(layer, side, head);
            rows.back().push_back(fmt::format("{:.5g}", basis.eigenvalues[static_cast<std::size_t>(i)]));
            rows.back().push_back(
                fmt::format("{:.5f}", spectrum.kept(layer, side, head, i + 1, Criterion::Energy)));
        }
    }
    return fmt::format("Layer {}, head {}\n", layer, head) + tableLines(rows);
}

void showSpectrum(Run& run, const Options& options) {
    if (!options.csv.empty())
        checkWritableFile(options.csv);
    if (!options.png.empty())
        checkWritableFile(options.png);
    const Statistics statistics = loadStatistics(options.statistics);
    const auto spectrum = options.basis.compute(run, statistics);
    const auto layers = range(options.layer, spectrum->layers(), "--layer");
    const auto heads = range(options.head, spectrum->heads(), "--head");

    ResultJson json;
    json["model"] = statistics.model_name;
    json["method"] = spectrum->method();
    json["head_dim"] = spectrum->basisWidth();
    json["layers"] = ResultJson::array();
    for (int layer = layers.first; layer < layers.second; ++layer) {
        ResultJson entry;
        entry["layer"] = layer;
        entry["keys"] = sideJson(*spectrum, layer, Side::Keys, heads);
        entry["values"] = sideJson(*spectrum, layer, Side::Values, heads);
        json["layers"].push_back(entry);
    }
    if (!options.csv.empty()) {
        writeTextFile(options.csv, spectrumCsv(*spectrum, layers, heads));
        json["csv"] = options.csv;
        run.console().message("eigenvalues written to " + options.csv);
    }
#ifdef EIGENSCOPE_HAS_FIGURES
    if (!options.png.empty()) {
        writeSpectrumPng(*spectrum, layers.first, options.png);
        json["png"] = options.png;
        run.console().message(fmt::format("layer {} drawn in {}", layers.first, options.png));
    }
#endif
    run.console().printResult(json);
    run.console().print(options.layer >= 0 && options.head >= 0
                            ? eigenvalueTable(*spectrum, options.layer, options.head)
                            : summaryTable(*spectrum, layers));
}

}  // namespace

Command addSpectrum(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand("spectrum", "Eigenvalues of every layer's keys and values");
    auto options = std::make_shared<Options>();
    sub->add_option("STATS", options->statistics, "Statistics file that `calibrate` wrote")->required();
    sub->add_option("--layer", options->layer, "This layer only (from 0)")->check(CLI::Range(0, 1 << 20));
    sub->add_option("--head", options->head, "This key/value head only (from 0)")
        ->check(CLI::Range(0, 1 << 20));
    sub->add_option("--csv", options->csv,
                    "Write layer, side, head, rank, eigenvalue and kept shares to a file");
#ifdef EIGENSCOPE_HAS_FIGURES
    sub->add_option("--png", options->png, "Draw one layer's keys and values (--layer, or the first)");
#endif
    addBasisOptions(*sub, options->basis, false);
    addDeviceOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { showSpectrum(run, *options); }};
}

}  // namespace eigenscope
