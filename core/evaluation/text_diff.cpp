// SPDX-License-Identifier: Apache-2.0
#include "core/evaluation/text_diff.h"

#include "core/base/parallel.h"
#include "core/calibration/corpus.h"
#include "core/evaluation/fidelity.h"
#include "core/evaluation/logit_rows.h"
#include "core/evaluation/state_run.h"
#include "kernels/api/error.h"

#include <algorithm>
#include <cmath>

namespace eigenscope {

namespace {

constexpr std::size_t kChunk = 256;  // rows of logits at a time: bounds memory, not the result
constexpr int kLongest = 2048;
constexpr std::string_view kStage = "comparing token by token";

// Calls each(row, logits of the first, logits of the run's state) for every row, on several threads.
template <typename Each>
void forRows(const JobContext& job, StateRun& run, const std::vector<float>& first, std::size_t rows,
             const Each& each) {
    const auto vocabulary = static_cast<std::size_t>(run.model().config.vocab_size);
    for (std::size_t at = 0; at < rows; at += kChunk) {
        const std::size_t count = std::min(kChunk, rows - at);
        const std::span<const float> logits = run.logits(at, count);
        parallelFor(static_cast<std::int64_t>(count), run.threads(), [&](std::int64_t i) {
            job.checkCancelled();
            const std::size_t row = at + static_cast<std::size_t>(i);
            each(row, std::span(first).subspan(row * vocabulary, vocabulary),
                 logits.subspan((row - at) * vocabulary, vocabulary));
        });
    }
}

std::vector<float> allLogits(StateRun& run, std::size_t rows) {
    std::vector<float> all;
    all.reserve(rows * static_cast<std::size_t>(run.model().config.vocab_size));
    for (std::size_t at = 0; at < rows; at += kChunk) {
        const std::vector<float>& part = run.logits(at, std::min(kChunk, rows - at));
        all.insert(all.end(), part.begin(), part.end());
    }
    return all;
}

void predictions(const JobContext& job, TextDiff& diff, StateRun& second, const std::vector<float>& first) {
    diff.tokens.resize(diff.ids.size() - 1);
    forRows(job, second, first, diff.tokens.size(),
            [&](std::size_t row, std::span<const float> p, std::span<const float> q) {
                const LogitRows rows = compareLogits(p, q);
                TokenDiff& token = diff.tokens[row];
                token.id = diff.ids[row + 1];
                token.kl = rows.kl;
                token.first_nll = nllOf(p, rows.first_log_sum, token.id);
                token.second_nll = nllOf(q, rows.second_log_sum, token.id);
                token.first_top = rows.first_top;
                token.second_top = rows.second_top;
                token.first_top_probability = std::exp(-nllOf(p, rows.first_log_sum, rows.first_top));
                token.second_top_probability = std::exp(-nllOf(q, rows.second_log_sum, rows.second_top));
            });
}

// Of the state of `b`, in which `layer` was restored.
void restoredDivergence(const JobContext& job, TextDiff& diff, StateRun& b, const std::vector<float>& first,
                        int layer) {
    const std::size_t rows = diff.tokens.size();
    double* restored = diff.restored_kl.data() + static_cast<std::size_t>(layer) * rows;
    forRows(job, b, first, rows, [&](std::size_t row, std::span<const float> p, std::span<const float> q) {
        restored[row] = compareLogits(p, q).kl;
    });
}

// Divergence with each layer restored in turn. `b` walks up the second model; `a` patches.
void patch(JobContext& job, TextDiff& diff, StateRun& a, StateRun& b, const std::vector<float>& first,
           std::span<const TokenId> ids) {
    const int layers = b.model().config.layers;
    b.start(ids);
    std::vector<float> below;
    for (int layer = 0; layer < layers; ++layer) {
        job.progress(kStage, layer, layers);
        job.checkCancelled();
        b.download(b.state(), below);
        a.upload(below);
        a.runLayer(layer);
        b.upload(a.download(a.state()));
        for (int above = layer + 1; above < layers; ++above)
            b.runLayer(above);
        restoredDivergence(job, diff, b, first, layer);
        b.upload(below);
        b.runLayer(layer);
    }
}

// The same numbers of streamed models, each of whose layers is read once: the states with a layer below
// restored go through a layer together.
void patchByLayers(JobContext& job, TextDiff& diff, StateRun& a, StateRun& b, const std::vector<float>& first,
                   std::span<const TokenId> ids, const StateOptions& storage) {
    const ModelConfig& config = b.model().config;
    const auto layers = static_cast<std::size_t>(config.layers);
    const std::size_t size = ids.size() * static_cast<std::size_t>(config.hidden_size);
    HiddenStates restored(std::vector<std::size_t>(layers, size), storage);
    b.start(ids);
    std::vector<float> below, state(size);
    for (std::size_t layer = 0; layer < layers; ++layer) {
        job.progress(kStage, static_cast<std::int64_t>(layer), config.layers);
        job.checkCancelled();
        const int index = static_cast<int>(layer);
        b.download(b.state(), below);
        a.upload(below);
        a.runLayer(index);
        restored.write(layer, a.download(a.state()));
        for (std::size_t lower = 0; lower < layer; ++lower) {
            job.checkCancelled();
            restored.read(lower, state);
            b.upload(state);
            b.runLayer(index);
            restored.write(lower, b.download(b.state()));
        }
        b.upload(below);
        b.runLayer(index);
    }
    for (std::size_t layer = 0; layer < layers; ++layer) {
        restored.read(layer, state);
        b.upload(state);
        restoredDivergence(job, diff, b, first, static_cast<int>(layer));
    }
}

}  // namespace

std::ptrdiff_t TextDiff::firstDivergence() const {
    const auto found = std::find_if(tokens.begin(), tokens.end(),
                                    [](const TokenDiff& token) { return token.top1Changed(); });
    return found == tokens.end() ? -1 : found - tokens.begin();
}

double TextDiff::removed(int layer, std::size_t token) const {
    return tokens[token].kl - restored_kl[static_cast<std::size_t>(layer) * tokens.size() + token];
}

int TextDiff::explainingLayer(std::size_t token) const {
    int best = -1;
    double most = 0;
    for (int layer = 0; layer < layers; ++layer) {
        if (removed(layer, token) > most) {
            most = removed(layer, token);
            best = layer;
        }
    }
    return best;
}

double TextDiff::meanRemoved(int layer) const {
    double sum = 0;
    for (std::size_t token = 0; token < tokens.size(); ++token)
        sum += removed(layer, token);
    return sum / static_cast<double>(tokens.size());
}

TextDiff diffText(JobContext& job, const OpenModel& first, const OpenModel& second,
                  std::span<const TokenId> ids, const RunOptions& first_run, const RunOptions& second_run) {
    checkSameVocabulary(first, second);
    const int positions = std::min(first.model->config.max_positions, second.model->config.max_positions);
    if (ids.size() < 2 || ids.size() > static_cast<std::size_t>(positions))
        throw Error(ErrorCode::InvalidInput, "the text has " + std::to_string(ids.size()) +
                                                 " tokens, expected 2 to the models' " +
                                                 std::to_string(positions) + " positions");
    // The last token is predicted but predicts nothing.
    const std::span<const TokenId> read = ids.first(ids.size() - 1);
    StateRun a(job, first, first_run, static_cast<std::int64_t>(read.size()));
    StateRun b(job, second, second_run, static_cast<std::int64_t>(read.size()));
    TextDiff diff;
    diff.ids.assign(ids.begin(), ids.end());
    job.progress(kStage, 0, first.model->config.layers);
    a.run(read);
    const std::vector<float> logits = allLogits(a, read.size());
    b.run(read);
    predictions(job, diff, b, logits);
    if (sameDimensions(first, second)) {
        diff.layers = second.model->config.layers;
        diff.restored_kl.resize(static_cast<std::size_t>(diff.layers) * read.size());
        if (first.model->streamed() || second.model->streamed())
            patchByLayers(job, diff, a, b, logits, read, first_run.states);
        else
            patch(job, diff, a, b, logits, read);
    }
    job.progress(kStage, first.model->config.layers, first.model->config.layers);
    return diff;
}

std::vector<TokenId> diffIds(JobContext& job, const OpenModel& first, const OpenModel& second,
                             const std::filesystem::path& text, int length) {
    const int positions = std::min(first.model->config.max_positions, second.model->config.max_positions);
    if (length > positions)
        throw Error(ErrorCode::InvalidInput, "sequence length " + std::to_string(length) +
                                                 ": expected 2 to the models' " + std::to_string(positions) +
                                                 " positions");
    std::vector<TokenId> ids = readCorpus(job, *first.tokenizer, text).ids;
    const int most = length > 0 ? length : std::min(positions, kLongest);
    ids.resize(std::min(ids.size(), static_cast<std::size_t>(most)));
    return ids;
}

std::vector<std::string> tokenTexts(const OpenModel& model, std::span<const TokenId> ids) {
    StreamDecoder decoder(model.tokenizer);
    std::vector<std::string> texts;
    for (TokenId id : ids)
        texts.push_back(decoder.append(id));
    if (!texts.empty())
        texts.back() += decoder.finish();
    return texts;
}

}  // namespace eigenscope
