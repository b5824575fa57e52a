// SPDX-License-Identifier: Apache-2.0
#include "core/calibration/calibrate.h"

#include "core/base/fail.h"
#include "core/calibration/calibration_run.h"
#include "core/model/transformer.h"

#include <algorithm>
#include <utility>

namespace eigenscope {

namespace {

// Windows kept in the statistics for measuring layer errors.
constexpr std::size_t kProbeWindows = 4;

Statistics describe(const OpenModel& model, const CorpusSummary& corpus, const CalibrationOptions& options,
                    int length) {
    const ModelConfig& config = model.model->config;
    Statistics statistics;
    statistics.model_name = model.name;
    statistics.model_fingerprint = model.checkpoint->fingerprint();
    statistics.family = config.family;
    statistics.rotary = config.position == PositionKind::Rotary;
    statistics.query_heads = config.query_heads;
    statistics.kv_heads = config.kv_heads;
    statistics.head_dim = config.head_dim;
    statistics.head_group =
        options.head_group > 0 ? options.head_group : automaticHeadGroup(config.kv_heads, config.head_dim);
    statistics.corpus = corpus;
    statistics.calibration.text = corpus.title();
    statistics.calibration.fingerprint = corpus.fingerprint();
    statistics.calibration.samples = options.samples;
    statistics.calibration.sequence_length = length;
    statistics.calibration.seed = options.seed;
    statistics.calibration.average_samples = options.average_samples;
    statistics.tokens = static_cast<std::int64_t>(options.samples / options.average_samples) * length;
    const Compute compute = resolveCompute(options.run, model);
    statistics.identity = {{"model", statistics.model_fingerprint},
                           {"text", statistics.calibration.fingerprint},
                           {"samples", std::to_string(options.samples)},
                           {"sequence length", std::to_string(length)},
                           {"seed", std::to_string(options.seed)},
                           {"average samples", std::to_string(options.average_samples)},
                           {"attention queries", std::to_string(options.attention_queries)},
                           {"head group", std::to_string(statistics.head_group)},
                           {"arithmetic", compute == Compute::F32   ? "f32"
                                          : compute == Compute::F16 ? "f16"
                                                                    : "bf16"},
                           {"cache format", std::string(nameOf(resolveKvFormat(options.run, model)))},
                           {"device", model.backend->info().backend}};
    return statistics;
}

}  // namespace

int automaticHeadGroup(int kv_heads, int head_dim) {
    int group = 1;
    for (int heads = 2; heads <= kv_heads; ++heads) {
        if (kv_heads % heads == 0 && heads * head_dim <= kJointWidth)
            group = heads;
    }
    return group;
}

CalibrationPlan planCalibration(JobContext& job, const OpenModel& model, const CorpusSpec& corpus,
                                const CalibrationOptions& options) {
    const ModelConfig& config = model.model->config;
    if (config.low_rank)
        throw Error(
            ErrorCode::InvalidInput,
            model.name + ": is a converted model; calibrate the original, its keys are the ones that count");
    if (options.attention_queries < 0)
        throw Error(
            ErrorCode::InvalidInput,
            "attention queries " + std::to_string(options.attention_queries) + ": expected 0 (none) or more");
    if (options.head_group < 0 || (options.head_group > 0 && config.kv_heads % options.head_group != 0))
        throw Error(ErrorCode::InvalidInput,
                    "head group " + std::to_string(options.head_group) + ": expected a divisor of the " +
                        std::to_string(config.kv_heads) + " key/value heads, or 0 for the usual");
    if (options.average_samples < 1 || options.samples % options.average_samples != 0)
        throw Error(ErrorCode::InvalidInput, "average samples " + std::to_string(options.average_samples) +
                                                 ": expected a divisor of " +
                                                 std::to_string(options.samples) + " samples");
    if (options.average_samples > 1 && options.attention_queries > 0)
        throw Error(ErrorCode::InvalidInput,
                    "average samples: averaged rows attend to nothing; attention queries must be 0");
    const int length = std::min(options.sequence_length, config.max_positions);
    CorpusSample sample = sampleCorpus(job, *model.tokenizer, corpus, options.samples, length, options.seed);
    return {describe(model, sample.summary, options, length), std::move(sample.windows), options};
}

CalibrationTools::CalibrationTools(const JobContext& job, const OpenModel& model, const CalibrationPlan& plan,
                                   Session& session)
    : attention(std::nullopt),
      average(std::nullopt),
      observer(job, *model.backend, session, model.model->config, plan.description.head_group,
               plan.options.attention_queries > 0
                   ? &attention.emplace(*model.backend, *model.model, session, plan.options.attention_queries,
                                        plan.description.head_group, plan.options.seed)
                   : nullptr,
               plan.options.average_samples > 1
                   ? &average.emplace(*model.backend, model.model->config, plan.options.average_samples,
                                      static_cast<std::int64_t>(plan.windows.front().size()))
                   : nullptr) {}

std::int64_t calibrationChunk(const OpenModel& model, const CalibrationPlan& plan) {
    // Attention is weighed over whole windows, so a trace must hold one.
    const auto length = static_cast<std::int64_t>(plan.windows.front().size());
    return plan.options.attention_queries > 0 ? length
                                              : std::min(resolveRows(plan.options.run, model), length);
}

namespace {

std::vector<LayerStatistics> calibrateByWindows(JobContext& job, const OpenModel& model,
                                                const CalibrationPlan& plan,
                                                const CalibrationKeeper& keeper) {
    const CalibrationOptions& options = plan.options;
    const int layers = model.model->config.layers;
    const auto length = static_cast<std::int64_t>(plan.windows.front().size());
    const Transformer transformer(model.backend, model.model);
    WindowStop stop(job, static_cast<bool>(keeper.keep));
    const std::int64_t chunk = calibrationChunk(model, plan);
    Session session = transformer.createSession({.threads = options.run.threads,
                                                 .compute = resolveCompute(options.run, model),
                                                 .max_rows = chunk,
                                                 .stop = stop.inner().stopToken()});
    KvCache cache = transformer.createCache(resolveKvFormat(options.run, model), length, 1, chunk);
    CalibrationTools tools(stop.inner(), model, plan, session);
    GramObserver& observer = tools.observer;
    const auto total = static_cast<std::int64_t>(plan.windows.size());
    std::int64_t done = 0, kept = 0;
    if (keeper.start) {
        if (keeper.start->layers.size() != static_cast<std::size_t>(layers))
            throw Error(ErrorCode::InvalidInput,
                        "the unfinished calibration does not hold this model's layers and heads");
        for (int layer = 0; layer < layers; ++layer)
            observer.restore(layer, keeper.start->layers[static_cast<std::size_t>(layer)]);
        done = std::min(keeper.start->windows, total);
        for (std::int64_t i = 0; tools.attention && i < done; ++i)
            tools.attention->startWindow(length);  // draws what the windows done drew
    }
    KeepingTime keeping(keeper);
    const auto keep = [&](std::int64_t windows) {
        if (windows == std::exchange(kept, windows))
            return;
        keeping.keep([&] {
            session.stream().synchronize();
            PartialCalibration partial{plan.description.identity, windows, {}};
            for (int layer = 0; layer < layers; ++layer)
                partial.layers.push_back(observer.sums(layer));
            return partial;
        });
    };
    for (; done < total; ++done) {
        job.progress("calibrating", done, total);
        if (job.cancelled())
            keep(done - done % options.average_samples);
        job.checkCancelled();
        const auto start = Clock::now();
        cache.truncate(0);
        if (tools.attention)
            tools.attention->startWindow(length);
        const std::span<const TokenId> window(plan.windows[static_cast<std::size_t>(done)]);
        for (std::size_t at = 0; at < window.size(); at += static_cast<std::size_t>(chunk)) {
            stop.inner().checkCancelled();
            const std::size_t count = std::min(static_cast<std::size_t>(chunk), window.size() - at);
            observer.startChunk(static_cast<std::int64_t>(at));
            transformer.forward(session, window.subspan(at, count), cache, LogitsOf::None, &observer);
        }
        observer.endWindow();
        stop.windowTook(secondsSince(start));
        if ((done + 1) % options.average_samples == 0 && keeping.due())  // a begun average is in no sum
            keep(done + 1);
    }
    session.stream().synchronize();
    job.progress("calibrating", total, total);
    std::vector<LayerStatistics> statistics;
    for (int layer = 0; layer < layers; ++layer) {
        statistics.push_back(observer.download(layer, plan.description.tokens));
        observer.close(layer);
    }
    return statistics;
}

}  // namespace

Statistics runCalibration(JobContext& job, const OpenModel& model, const CalibrationPlan& plan,
                          const CalibrationKeeper& keeper) {
    if (keeper.start && keeper.start->states.has_value() != model.model->streamed())
        throw Error(ErrorCode::InvalidInput,
                    std::string("the unfinished calibration was begun with a model that was ") +
                        (model.model->streamed() ? "held in memory: go on with streaming off"
                                                 : "streamed: go on with streaming on"));
    Statistics statistics = plan.description;
    statistics.layers = model.model->streamed() ? calibrateByLayers(job, model, plan, keeper)
                                                : calibrateByWindows(job, model, plan, keeper);
    const std::size_t probes = std::min(kProbeWindows, plan.windows.size());
    statistics.probe_windows.assign(plan.windows.begin(),
                                    plan.windows.begin() + static_cast<std::ptrdiff_t>(probes));
    return statistics;
}

Statistics calibrate(JobContext& job, const OpenModel& model, const CorpusSpec& corpus,
                     const CalibrationOptions& options) {
    return runCalibration(job, model, planCalibration(job, model, corpus, options));
}

bool sameCalibration(const Statistics& statistics, const CalibrationPlan& plan) {
    RunIdentity a = statistics.identity, b = plan.description.identity;
    for (RunIdentity* identity : {&a, &b})
        std::erase_if(*identity, [](const auto& entry) { return entry.first == "device"; });
    return !a.empty() && firstDifference(a, b).empty();
}

}  // namespace eigenscope
