// SPDX-License-Identifier: Apache-2.0
// Two models on one text, token by token: where their predictions part, and which layer that comes from.
#pragma once

#include "core/base/job_context.h"
#include "core/generation/generate.h"
#include "core/model/model.h"

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace eigenscope {

// Both models' prediction of one token of the text, from the tokens before it.
struct TokenDiff {
    TokenId id = 0;                                                // the token that is there
    double kl = 0;                                                 // KL(first || second), nats
    double first_nll = 0, second_nll = 0;                          // of `id`, nats
    TokenId first_top = 0, second_top = 0;                         // most likely
    double first_top_probability = 0, second_top_probability = 0;  // of its own most likely token
    bool top1Changed() const { return first_top != second_top; }
};

struct TextDiff {
    std::vector<TokenId> ids;       // the text; nothing predicts ids[0]
    std::vector<TokenDiff> tokens;  // [ids - 1]: tokens[i] is the prediction of ids[i + 1]
    int layers = 0;                 // 0: the models' dimensions differ, no layer can be exchanged
    // [layers, tokens]: KL(first || second with this one layer restored). Layer l is restored by patching:
    // the second model runs, but for all positions its layer l is the first's, with the first's cache; what
    // it gets is what the second's layers below leave, and the layers above are the second's again.
    std::vector<double> restored_kl;

    // First token whose most likely prediction changed; -1 when none did.
    std::ptrdiff_t firstDivergence() const;
    // Nats that restoring `layer` removes at a token: kl - restored_kl. Negative when it makes things worse:
    // errors of layers can cancel.
    double removed(int layer, std::size_t token) const;
    // The layer that explains a token: the one whose restoring removes most; -1 when none removes anything.
    int explainingLayer(std::size_t token) const;
    // The mean of removed() over all tokens.
    double meanRemoved(int layer) const;
};

// `ids`: 2 tokens to both models' positions. Cost: about layers^2 / 2 layer passes over the text; on the host
// the first's logits, 4 bytes * tokens * vocabulary. Of streamed models each layer is read twice, and as many
// hidden states as there are layers are kept in memory or in a file (`first_run.states`).
TextDiff diffText(JobContext& job, const OpenModel& first, const OpenModel& second,
                  std::span<const TokenId> ids, const RunOptions& first_run, const RunOptions& second_run);

// The first `length` tokens (0: as many as both models have positions for, at most 2048) of a file, or all
// there are, as the first model's tokenizer reads it.
std::vector<TokenId> diffIds(JobContext& job, const OpenModel& first, const OpenModel& second,
                             const std::filesystem::path& text, int length);

// The text each token adds, tokens[i] of ids[i]; characters that several tokens spell belong to the last.
std::vector<std::string> tokenTexts(const OpenModel& model, std::span<const TokenId> ids);

}  // namespace eigenscope
