// SPDX-License-Identifier: Apache-2.0
// Memory bounds of what measures models or runs two of them side by side (memory_bound.h).
#include "core/evaluation/compare.h"
#include "core/evaluation/memory_sizes.h"
#include "core/generation/prefill.h"
#include "core/model/transformer.h"

#include <algorithm>
#include <thread>

namespace eigenscope {

namespace {

constexpr std::int64_t kDiffChunk = 256;  // rows of logits at a time in diffText()

// Both models' weights; what is there now once.
MemoryBound startPair(const OpenModel& first, const Sizes& first_sizes, const OpenModel& second,
                      const Sizes& second_sizes) {
    MemoryBound bound = startBound(first, first_sizes);
    bound.streamed = bound.streamed || second.model->streamed();
    bound.weights += second_sizes.weights();
    return bound;
}

// `rows` of both models' logits on the host, and a number for each of `tokens`.
std::int64_t comparedLogits(const ModelConfig& config, std::int64_t rows, std::int64_t tokens) {
    return 2 * rows * config.vocab_size * kF32 + 2 * tokens * kF64;
}

std::int64_t threadsOf(const RunOptions& run) {
    return run.threads > 0 ? run.threads : std::max(1u, std::thread::hardware_concurrency());
}

// Layer errors: two models' layers one after the other, and both hidden states of all windows.
void addLayerErrors(MemoryBound& bound, const Sizes& sizes, const Statistics& statistics, int head_group,
                    const RunOptions& run) {
    std::int64_t length = 1, tokens = 0;
    for (const auto& window : statistics.probe_windows) {
        length = std::max(length, static_cast<std::int64_t>(window.size()));
        tokens += static_cast<std::int64_t>(window.size());
    }
    bound.working = (1 + head_group) * sizes.running(length, length, 0) + sizes.folding(head_group) +
                    4 * sizes.states(length);
    addStates(bound, sizes.states(tokens), run.states);  // inputs, and outputs
    addStates(bound, sizes.states(tokens), run.states);
}

}  // namespace

MemoryBound comparisonBound(const OpenModel& first, const OpenModel& second, std::int64_t windows,
                            std::int64_t length, const PerplexityOptions& options,
                            const RunOptions& second_run) {
    const Sizes a(first, options.run), b(second, second_run);
    MemoryBound bound = startPair(first, a, second, b);
    const std::int64_t chunk = std::min(pairRows(first, second, options, second_run), length);
    bound.working = a.running(length, chunk, chunk) + b.running(length, chunk, chunk) +
                    comparedLogits(a.config(), chunk, windows * length);
    if (bound.streamed) {
        addStates(bound, windows * a.states(length), options.run.states);
        addStates(bound, windows * b.states(length), second_run.states);
    }
    return bound;
}

MemoryBound fidelityBound(const OpenModel& first, const OpenModel& second, std::int64_t windows,
                          std::int64_t length, const PerplexityOptions& options,
                          const RunOptions& second_run) {
    const Sizes a(first, options.run), b(second, second_run);
    MemoryBound bound = startPair(first, a, second, b);
    const std::int64_t chunk = std::min(pairRows(first, second, options, second_run), length);
    bound.working = a.running(length, length, chunk) + b.running(length, length, chunk) +
                    b.cache(length, length) + a.attentionRows(length) + b.attentionRows(length) +
                    comparedLogits(a.config(), chunk, windows * length) + 8 * a.states(length);
    // A head's part of the output, of both models, and their difference, on each thread; scores are less.
    bound.working += threadsOf(second_run) * 4 * a.states(length);
    if (bound.streamed) {
        addStates(bound, windows * a.states(length), options.run.states);
        addStates(bound, windows * b.states(length), options.run.states);
    }
    return bound;
}

MemoryBound diffBound(const OpenModel& first, const OpenModel& second, std::int64_t tokens,
                      const RunOptions& first_run, const RunOptions& second_run) {
    const Sizes a(first, first_run), b(second, second_run);
    MemoryBound bound = startPair(first, a, second, b);
    const std::int64_t chunk = std::min(kDiffChunk, tokens);
    bound.working = a.running(tokens, tokens, chunk) + b.running(tokens, tokens, chunk) +
                    tokens * a.config().vocab_size * kF32 + comparedLogits(a.config(), chunk, tokens) +
                    tokens * (a.config().layers + 16) * kF64 + 6 * a.states(tokens);
    if (bound.streamed)
        addStates(bound, b.config().layers * a.states(tokens), first_run.states);
    return bound;
}

MemoryBound generationBound(const OpenModel& model, std::int64_t prompt_tokens,
                            const GenerationOptions& options) {
    const Sizes sizes(model, options.run);
    const ModelConfig& config = sizes.config();
    MemoryBound bound = startBound(model, sizes);
    prompt_tokens = std::max<std::int64_t>(prompt_tokens, 1);  // an empty one starts from bos
    const std::int64_t capacity =
        std::min<std::int64_t>(prompt_tokens + options.max_tokens, config.max_positions);
    const std::int64_t chunk =
        std::min({resolveRows(options.run, model, options.prefill_chunk), prompt_tokens, capacity});
    // Each layer's keys and values stay, streamed or not.
    bound.working = sizes.running(chunk, chunk, 1) + std::int64_t{2} * config.vocab_size * kF32 +
                    static_cast<std::int64_t>(
                        kvCacheBytes(config, resolveKvFormat(options.run, model), 1, capacity, chunk));
    if (bound.streamed)
        bound.working += streamedPrefillBytes(config, prompt_tokens, 1);
    return bound;
}

MemoryBound sensitivityBound(const OpenModel& model, const Statistics& statistics, std::int64_t windows,
                             std::int64_t length, std::int64_t candidates, int head_group,
                             const RunOptions& run) {
    const Sizes sizes(model, run);
    MemoryBound bound = startBound(model, sizes);
    bound.statistics = sizes.spectrum(head_group);
    MemoryBound errors = bound;
    addLayerErrors(errors, sizes, statistics, head_group, run);
    if (windows == 0)
        return errors;
    const std::int64_t logits = length * sizes.config().vocab_size * kF32;
    bound.working = sizes.running(length, length, length) + head_group * sizes.running(length, length, 0) +
                    sizes.folding(head_group) + 2 * logits + 4 * sizes.states(length);
    addStates(bound, windows * sizes.states(length), run.states);
    addStates(bound, windows * logits, run.states);
    // The windows' states on their first way up, later those of all candidates.
    addStates(bound,
              windows * sizes.states(length) * (bound.streamed ? std::max<std::int64_t>(candidates, 1) : 1),
              run.states);
    return largerOf(bound, errors);
}

MemoryBound tradeoffBound(const OpenModel& model, const Statistics& statistics, int head_group,
                          std::int64_t windows, std::int64_t length, int refit_windows, int refit_length,
                          const RunOptions& run) {
    const Sizes sizes(model, run);
    RankPlan plan;
    plan.head_group = head_group;
    MemoryBound bound = conversionBound(model, statistics, plan, refit_windows, refit_length, run);
    MemoryBound measuring = bound;
    const std::int64_t chunk = std::min(resolveRows(run, model), length);
    measuring.working = sizes.folding(head_group) + (1 + head_group) * sizes.running(length, chunk, chunk);
    measuring.states = 0;
    if (bound.streamed)
        addStates(measuring, windows * sizes.states(length), run.states);
    return largerOf(bound, measuring);
}

}  // namespace eigenscope
