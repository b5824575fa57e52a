// SPDX-License-Identifier: GPL-3.0-or-later
#include "app/cli/results.h"

#include "core/report/number_text.h"

#include <fmt/format.h>

#include <cmath>
#include <limits>

namespace eigenscope {

namespace {

const char* nameOf(StopReason reason) {
    switch (reason) {
        case StopReason::EndOfText:
            return "end-of-text";
        case StopReason::ContextFull:
            return "context-full";
        case StopReason::MaxTokens:
            break;
    }
    return "max-tokens";
}

}  // namespace

ResultJson toJson(const GenerationResult& result) {
    ResultJson json;
    json["text"] = result.text;
    json["ids"] = result.ids;
    json["prompt_tokens"] = result.prompt_ids.size();
    json["new_tokens"] = result.ids.size();
    json["ttft_ms"] = result.ttft_ms;
    json["tpot_ms"] = result.tpot_ms;
    json["tokens_per_second"] = result.tokens_per_second;
    json["kv_cache_bytes"] = result.kv_cache_bytes;
    json["peak_memory_bytes"] = result.peak_memory_bytes;
    json["stop"] = nameOf(result.stop);
    return json;
}

ResultJson toJson(const PerplexityResult& result) {
    ResultJson json;
    json["perplexity"] = result.perplexity;
    json["standard_error"] = result.standard_error;  // null for a single window, whose spread is unknown
    json["tokens"] = result.tokens;
    json["windows"] = result.windows;
    json["window_nll"] = result.window_nll;
    json["seconds"] = result.seconds;
    return json;
}

// Standard errors are null for a single window.
ResultJson toJson(const ComparisonResult& result) {
    ResultJson json;
    json["perplexity"] = {result.first.perplexity, result.second.perplexity};
    json["perplexity_standard_error"] = {result.first.standard_error, result.second.standard_error};
    json["nll_difference"] = result.nll_difference;
    json["nll_difference_standard_error"] = result.nll_difference_standard_error;
    json["kl_divergence"] = result.kl_divergence;
    json["kl_standard_error"] = result.kl_standard_error;
    json["top1_agreement"] = result.top1_agreement;
    json["top1_standard_error"] = result.top1_standard_error;
    json["tokens"] = result.first.tokens;
    json["windows"] = result.first.windows;
    return json;
}

std::string withError(const MeanAndError& value) {
    const std::string mean = text::significant(value.mean, 3);
    return std::isfinite(value.error) ? fmt::format("{} ± {}", mean, text::significant(value.error, 2))
                                      : mean;
}

std::string qualityLines(const std::string& first, const std::string& second, const ComparisonResult& result,
                         const std::string& device) {
    return tableLines({{"", first, second},
                       {"Perplexity", text::fixed(result.first.perplexity, 4),
                        text::fixed(result.second.perplexity, 4)}}) +
           "\n" +
           factLines(
               {{"Lost",
                 withError({result.nll_difference, result.nll_difference_standard_error}) + " nats a token"},
                {"KL divergence",
                 withError({result.kl_divergence, result.kl_standard_error}) + " nats a token"},
                {"Same most likely token", std::isfinite(result.top1_standard_error)
                                               ? fmt::format("{} ± {}", text::percent(result.top1_agreement),
                                                             text::percent(result.top1_standard_error))
                                               : text::percent(result.top1_agreement)},
                {"Tokens", fmt::format("{} in {} windows", text::count(result.first.tokens),
                                       text::count(result.first.windows))},
                {"Device", device}});
}

std::string timingText(const GenerationResult& result) {
    return fmt::format(
        "{} prompt + {} new tokens, TTFT {}, TPOT {}, {} tokens/s, KV cache {}, peak memory {}",
        result.prompt_ids.size(), result.ids.size(), text::milliseconds(result.ttft_ms),
        text::milliseconds(result.tpot_ms), text::significant(result.tokens_per_second, 3),
        text::bytes(static_cast<double>(result.kv_cache_bytes)),
        text::bytes(static_cast<double>(result.peak_memory_bytes)));
}

std::string rankTable(const RankPlan& plan, int basis_width, const std::vector<double>& layer_errors) {
    const std::vector<int>&key_ranks = plan.key_ranks, &value_ranks = plan.value_ranks;
    const bool bits = !plan.kv_bits.empty();
    std::vector<std::vector<std::string>> rows = {{"layer", "key rank", "value rank", "KV ratio"}};
    if (!layer_errors.empty())
        rows[0].emplace_back("error");
    if (bits)
        rows[0].insert(rows[0].end(), {"key bits", "value bits"});
    for (std::size_t i = 0; i < key_ranks.size(); ++i) {
        const double ratio = (plan.kv_bits.keysOf(i, DType::F16).bytesPerRow(key_ranks[i]) +
                              plan.kv_bits.valuesOf(i, DType::F16).bytesPerRow(value_ranks[i])) /
                             (4.0 * basis_width);
        rows.push_back({std::to_string(i), std::to_string(key_ranks[i]), std::to_string(value_ranks[i]),
                        fmt::format("{:.3f}", ratio)});
        if (i < layer_errors.size())
            rows.back().push_back(text::percent(layer_errors[i]));
        if (bits)
            rows.back().insert(rows.back().end(), {std::to_string(plan.kv_bits.keys[i]),
                                                   std::to_string(plan.kv_bits.values[i])});
    }
    return tableLines(rows);
}

PerplexityOptions PerplexityArguments::options(const RunOptions& run) const {
    PerplexityOptions result;
    result.sequence_length = sequence_length;
    result.windows = windows;
    result.bos = bos == "first" ? BosRule::First : bos == "every" ? BosRule::Every : BosRule::None;
    result.text_field = text_field;
    result.run = run;
    return result;
}

void addPerplexityOptions(CLI::App& app, PerplexityArguments& arguments) {
    constexpr int kMost = std::numeric_limits<int>::max();
    app.add_option("--sequence-length", arguments.sequence_length,
                   "Tokens of a window (default: the model's positions, at most 2048)")
        ->check(CLI::Range(2, kMost));
    app.add_option("--windows", arguments.windows, "Windows from the start of the text (default: all)")
        ->check(CLI::Range(1, kMost));
    app.add_option("--bos", arguments.bos,
                   "Beginning-of-text token: first (as the tokenizer adds it), every window, none")
        ->check(CLI::IsMember({"first", "every", "none"}))
        ->capture_default_str();
    app.add_option("--text-field", arguments.text_field,
                   "Field that holds the text where the file is of JSON records (default: text)");
}

void addGenerationOptions(CLI::App& app, GenerationArguments& arguments) {
    GenerationOptions& options = arguments.options;
    app.add_option("--max-tokens", options.max_tokens, "New tokens at most")
        ->check(CLI::Range(1, std::numeric_limits<int>::max()))
        ->capture_default_str();
    app.add_option("--temperature", options.sampling.temperature, "0: greedy")
        ->check(CLI::Range(0.0, 1e4))
        ->capture_default_str();
    app.add_option("--top-k", options.sampling.top_k, "Choose among the K most likely tokens (0: all)")
        ->check(CLI::Range(0, std::numeric_limits<int>::max()))
        ->capture_default_str();
    app.add_option("--top-p", options.sampling.top_p,
                   "Choose among the most likely tokens of this total probability")
        ->check(CLI::Range(1e-9, 1.0))
        ->capture_default_str();
    app.add_option("--seed", options.sampling.seed, "Seed of the random choice")->capture_default_str();
}

}  // namespace eigenscope
