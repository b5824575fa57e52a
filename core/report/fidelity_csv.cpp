// SPDX-License-Identifier: Apache-2.0
#include "core/report/fidelity_csv.h"

#include <fmt/format.h>

#include <cmath>
#include <iterator>

namespace eigenscope {

namespace {

std::string number(double value) {
    return std::isfinite(value) ? fmt::format("{:.9g}", value) : std::string();
}

// In double quotes, as RFC 4180 has it: pieces hold commas, quotes and spaces.
std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (char c : text) {
        if (c == '"')
            result += '"';
        result += c;
    }
    return result + '"';
}

}  // namespace

std::string fidelityCsv(const FidelityResult& result) {
    std::string csv = "layer,head,measure,value,standard_error\n";
    for (std::size_t layer = 0; layer < result.layers.size(); ++layer) {
        const auto line = [&](const std::string& head, const char* measure, const MeanAndError& value) {
            fmt::format_to(std::back_inserter(csv), "{},{},{},{},{}\n", layer, head, measure,
                           number(value.mean), number(value.error));
        };
        line({}, "output_error", result.layers[layer].output_error);
        line({}, "propagated_error", result.layers[layer].propagated_error);
        for (std::size_t head = 0; head < result.layers[layer].heads.size(); ++head) {
            const HeadFidelity& measures = result.layers[layer].heads[head];
            line(std::to_string(head), "score_error", measures.score_error);
            line(std::to_string(head), "weight_distance", measures.weight_distance);
            line(std::to_string(head), "output_error", measures.output_error);
        }
    }
    return csv;
}

std::string textDiffCsv(const TextDiff& diff, const Tokenizer& tokenizer) {
    std::string csv =
        "token,id,piece,kl,top1_changed,nll_first,nll_second,first_top,first_probability,second_top,"
        "second_probability,explaining_layer,kl_removed\n";
    for (std::size_t i = 0; i < diff.tokens.size(); ++i) {
        const TokenDiff& token = diff.tokens[i];
        const int layer = diff.explainingLayer(i);
        fmt::format_to(std::back_inserter(csv), "{},{},{},{},{},{},{},{},{},{},{},{},{}\n", i + 1, token.id,
                       quoted(tokenizer.piece(token.id)), number(token.kl), token.top1Changed() ? 1 : 0,
                       number(token.first_nll), number(token.second_nll),
                       quoted(tokenizer.piece(token.first_top)), number(token.first_top_probability),
                       quoted(tokenizer.piece(token.second_top)), number(token.second_top_probability),
                       layer < 0 ? std::string() : std::to_string(layer),
                       layer < 0 ? std::string() : number(diff.removed(layer, i)));
    }
    return csv;
}

}  // namespace eigenscope
