// SPDX-License-Identifier: GPL-3.0-or-later
// subspaces STATS STATS2: how much the bases from two calibrations of one model differ.
#include "core/spectrum/subspaces.h"
#include "app/cli/basis_arguments.h"
#include "app/cli/commands.h"
#include "core/base/atomic_output.h"
#include "core/base/fail.h"

#include <fmt/format.h>

#include <memory>
#include <numbers>

namespace eigenscope {

namespace {

struct Options {
    std::string first, second, csv;
    BasisArguments basis;
    int rank = 0;
    double threshold = SubspaceRank().threshold;
};

double degrees(double radians) { return radians * 180 / std::numbers::pi; }

ResultJson sideJson(const std::vector<SubspaceComparison>& heads) {
    ResultJson angles = ResultJson::array(), overlaps = ResultJson::array();
    for (const SubspaceComparison& head : heads) {
        ResultJson row = ResultJson::array();
        for (const double angle : head.angles)
            row.push_back(degrees(angle));
        angles.push_back(std::move(row));
        overlaps.push_back(head.overlap);
    }
    ResultJson json;
    json["ranks"] = {heads.front().first_rank, heads.front().second_rank};
    json["overlap"] = meanOverlap(heads);
    json["by_chance"] = meanByChance(heads);
    json["largest_angle"] = degrees(largestAngle(heads));
    json["head_overlaps"] = std::move(overlaps);
    json["head_angles"] = std::move(angles);
    return json;
}

std::vector<std::string> sideCells(const std::vector<SubspaceComparison>& heads) {
    const int first = heads.front().first_rank, second = heads.front().second_rank;
    return {first == second ? std::to_string(first) : fmt::format("{}/{}", first, second),
            fmt::format("{:.4f}", meanOverlap(heads)), fmt::format("{:.2f}", meanByChance(heads)),
            fmt::format("{:.1f}", degrees(largestAngle(heads)))};
}

void showSubspaces(Run& run, const Options& options) {
    if (!options.csv.empty())
        checkWritableFile(options.csv);
    const Statistics first = loadStatistics(options.first), second = loadStatistics(options.second);
    if (first.model_fingerprint != second.model_fingerprint)
        failInput(options.second, "these statistics are of " + second.model_name + ", those of " +
                                      options.first + " are of " + first.model_name +
                                      " with other weights; expected one model");
    const auto one = options.basis.compute(run, first), other = options.basis.compute(run, second);
    const auto layers = compareSubspaces(run.job(), *one, *other, {options.rank, options.threshold});

    ResultJson json;
    json["model"] = first.model_name;
    json["method"] = one->method();
    json["texts"] = {first.calibration.text, second.calibration.text};
    json["rank"] = options.rank > 0 ? ResultJson(options.rank) : ResultJson(nullptr);
    json["threshold"] = options.rank > 0 ? ResultJson(nullptr) : ResultJson(options.threshold);
    json["layers"] = ResultJson::array();
    std::vector<std::vector<std::string>> rows{{"layer", "key rank", "overlap", "by chance", "largest angle",
                                                "value rank", "overlap", "by chance", "largest angle"}};
    for (std::size_t layer = 0; layer < layers.size(); ++layer) {
        ResultJson entry;
        entry["layer"] = layer;
        entry["keys"] = sideJson(layers[layer].keys);
        entry["values"] = sideJson(layers[layer].values);
        json["layers"].push_back(std::move(entry));
        rows.push_back({std::to_string(layer)});
        for (const Side side : {Side::Keys, Side::Values}) {
            for (std::string& cell : sideCells(layers[layer].of(side)))
                rows.back().push_back(std::move(cell));
        }
    }
    if (!options.csv.empty()) {
        writeTextFile(options.csv, subspacesCsv(layers));
        json["csv"] = options.csv;
        run.console().message("overlaps written to " + options.csv);
    }
    run.console().printResult(json);
    run.console().print(fmt::format("{}: leading directions from {} and from {}\n", first.model_name,
                                    first.calibration.text, second.calibration.text) +
                        tableLines(rows) +
                        "\nOverlap: mean squared cosine of the principal angles, 1 for the same subspace; "
                        "angles in degrees.");
}

}  // namespace

Command addSubspaces(CLI::App& app, CommonOptions& common) {
    CLI::App* sub = app.add_subcommand(
        "subspaces", "How much the bases from two calibration texts differ: principal angles");
    auto options = std::make_shared<Options>();
    sub->add_option("STATS", options->first, "Statistics file that `calibrate` wrote")->required();
    sub->add_option("STATS2", options->second, "Another one, of the same model")->required();
    auto* rank = sub->add_option("--rank", options->rank, "Compare this many leading directions")
                     ->check(CLI::Range(1, 1 << 20));
    sub->add_option("--threshold", options->threshold,
                    "Compare as many as keep this share of the energy, each text its own")
        ->check(CLI::Range(0.0, 1.0))
        ->capture_default_str()
        ->excludes(rank);
    sub->add_option("--csv", options->csv, "Write the overlap and the largest angle of every head to a file");
    addBasisOptions(*sub, options->basis, false);
    addDeviceOptions(*sub, common);
    addOutputOptions(*sub, common);
    return {sub, [options](Run& run) { showSubspaces(run, *options); }};
}

}  // namespace eigenscope
