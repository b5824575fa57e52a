// SPDX-License-Identifier: Apache-2.0
// The sums of a calibration that is not finished, exactly as they are, so that it can go on later and end
// with the same bits as one that was never interrupted. Plain values.
#pragma once

#include "core/calibration/corpus_summary.h"
#include "core/model/hidden_states.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

namespace eigenscope {

// A resident model's run goes window by window: sums of all layers after some windows. A streamed model's
// goes layer by layer: the statistics of the layers that are done, the sums of the next one after some
// windows, and all windows' hidden states, those windows' behind that layer, the others' before it.
struct PartialStates {
    std::shared_ptr<HiddenStates> states;  // shared with the run: a run that goes on changes them,
    std::uint64_t version = 0;             // and they are those that were kept while this is their version
};
struct PartialCalibration {
    RunIdentity identity;
    std::int64_t windows = 0;                 // done; of a streamed model, in the last of `layers`
    std::vector<std::vector<double>> layers;  // of each layer's sums: all, or of a streamed model the first
    std::optional<PartialStates> states{};    // streamed models only
    // Its states belong to a run that went on, so that nothing can go on from here.
    bool stale() const { return states && states->states->version() != states->version; }
};

// The file beside `output` that keeps an unfinished calibration.
std::filesystem::path partialFileOf(const std::filesystem::path& output);

// A safetensors file: layers.<i>.sums (F64), of a streamed model states.<i> (F32), the rest in the metadata.
// Written whole or not at all. `options` say where states that are read are then kept.
void savePartialCalibration(const PartialCalibration& partial, const std::filesystem::path& file);
PartialCalibration loadPartialCalibration(const std::filesystem::path& file,
                                          const StateOptions& options = {});
// Throws naming the file and what differs when `partial` is of another run.
void checkSameRun(const PartialCalibration& partial, const RunIdentity& identity,
                  const std::filesystem::path& file);

}  // namespace eigenscope
