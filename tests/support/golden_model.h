// SPDX-License-Identifier: Apache-2.0
// The checkpoints of tests/golden/models and what transformers computed from them.
#pragma once

#include "core/model/model.h"

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace eigenscope::test {

struct GoldenModel {
    OpenModel open;               // with an IdTokenizer
    std::vector<TokenId> ids;     // [n]
    std::vector<float> logits;    // [n, vocab]
    std::vector<TokenId> prompt;  // the first ids
    std::vector<TokenId> greedy;  // the continuation of prompt
    std::map<std::string, std::vector<float>>
        trace;  // "queries", "keys", "values", "outputs", "layer": of layer 1

    std::vector<TokenId> long_ids;   // [n], llama-rope-dynamic only: more than the training's positions
    std::vector<float> long_logits;  // [n, vocab]

    // Largest difference from `logits` over the range of logits.
    double relativeError(const std::vector<float>& found) const;
};

std::vector<std::string> goldenModelNames();
std::filesystem::path goldenModelDirectory(const std::string& name);
GoldenModel openGoldenModel(const std::string& name, std::shared_ptr<Backend> backend);

}  // namespace eigenscope::test
