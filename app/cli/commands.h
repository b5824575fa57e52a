// SPDX-License-Identifier: GPL-3.0-or-later
// The subcommands. Each adds its parser to `app` and returns what runs it; `common` outlives both.
#pragma once

#include "app/cli/command.h"

namespace eigenscope {

Command addInspect(CLI::App& app, CommonOptions& common);
Command addTokenize(CLI::App& app, CommonOptions& common);
Command addLogits(CLI::App& app, CommonOptions& common);
Command addGenerate(CLI::App& app, CommonOptions& common);
Command addPerplexity(CLI::App& app, CommonOptions& common);
Command addEstimate(CLI::App& app, CommonOptions& common);
Command addCalibrate(CLI::App& app, CommonOptions& common);
Command addSensitivity(CLI::App& app, CommonOptions& common);
Command addSpectrum(CLI::App& app, CommonOptions& common);
Command addSubspaces(CLI::App& app, CommonOptions& common);
Command addPlan(CLI::App& app, CommonOptions& common);
Command addConvert(CLI::App& app, CommonOptions& common);
Command addTradeoff(CLI::App& app, CommonOptions& common);
Command addCompare(CLI::App& app, CommonOptions& common);
Command addFidelity(CLI::App& app, CommonOptions& common);
Command addDiff(CLI::App& app, CommonOptions& common);
Command addBench(CLI::App& app, CommonOptions& common);
Command addPresets(CLI::App& app, CommonOptions& common);
Command addReport(CLI::App& app, CommonOptions& common);

}  // namespace eigenscope
