// SPDX-License-Identifier: Apache-2.0
#include "core/generation/generate.h"

#include "core/generation/prefill.h"
#include "core/model/watched_weights.h"

#include <algorithm>
#include <chrono>

namespace eigenscope {

namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

[[noreturn]] void failArgument(const std::string& message) { throw Error(ErrorCode::InvalidInput, message); }

void checkOptions(const GenerationOptions& options) {
    checkSamplingOptions(options.sampling);
    if (options.max_tokens < 1) {
        failArgument("max tokens: expected at least 1, found " + std::to_string(options.max_tokens));
    }
    if (options.prefill_chunk < 0) {
        failArgument("prefill chunk: expected at least 1, or 0 for the device's, found " +
                     std::to_string(options.prefill_chunk));
    }
}

std::vector<TokenId> promptIds(const OpenModel& model, std::string_view prompt, bool add_special) {
    std::vector<TokenId> ids = model.tokenizer->encode(prompt, add_special);
    if (ids.empty()) {
        const auto bos = model.tokenizer->bos();
        if (!bos) {
            failArgument("the prompt is empty and " + model.name +
                         " has no beginning-of-text token to start from");
        }
        ids.push_back(*bos);
    }
    const int positions = model.model->config.max_positions;
    if (ids.size() > static_cast<std::size_t>(positions)) {
        failArgument("the prompt has " + std::to_string(ids.size()) + " tokens, more than the " +
                     std::to_string(positions) + " positions of " + model.name);
    }
    return ids;
}

// The logits of the last position on the host: where they are if the host can read there, else copied to
// `room`.
std::span<const float> hostLogits(Session& session, const TensorView& logits, std::vector<float>& room) {
    if (session.backend().info().host_accessible) {
        return {logits.f32(), room.size()};
    }
    session.backend().download(session.stream(), room.data(), logits.data, room.size() * sizeof(float));
    return room;
}

// Tokens count, and of a streamed model, which takes its time for each, the parts that they go through.
class GenerationProgress {
public:
    GenerationProgress(JobContext& job, const Model& model, std::int64_t most)
        : m_job(job), m_prefill(prefillStage(model)), m_parts(streamedParts(model)), m_most(most) {}
    void prefilled(std::int64_t done, std::int64_t total) {
        m_job.checkCancelled();
        m_job.progress(m_prefill, done, total);
    }
    void generated(std::int64_t tokens) {
        m_tokens = tokens;
        if (m_parts == 0)
            m_job.progress("generating", tokens, m_most);
        else
            part(0);
    }
    // The parts of the prompt are prefill's.
    void part(int part) {
        if (m_tokens > 0)
            m_job.progress("generating, tokens by parts of the weights", m_tokens * m_parts + part,
                           m_most * m_parts);
    }

private:
    JobContext& m_job;
    std::string m_prefill;
    std::int64_t m_parts, m_most, m_tokens = 0;
};

std::optional<StopReason> stopReason(const OpenModel& model, const GenerationOptions& options,
                                     const GenerationResult& result) {
    const std::vector<TokenId>& eos = model.tokenizer->eos();
    if (options.stop_at_eos && std::ranges::find(eos, result.ids.back()) != eos.end()) {
        return StopReason::EndOfText;
    }
    if (result.ids.size() == static_cast<std::size_t>(options.max_tokens)) {
        return StopReason::MaxTokens;
    }
    if (result.prompt_ids.size() + result.ids.size() >
        static_cast<std::size_t>(model.model->config.max_positions)) {
        return StopReason::ContextFull;  // the newest token has no position left
    }
    return std::nullopt;
}

// Timing and memory, once the last token is there.
void summarise(GenerationResult& result, const OpenModel& model, const Session& session, const KvCache& cache,
               double seconds, std::int64_t prefill_bytes) {
    if (result.ids.size() > 1) {
        const double later = static_cast<double>(result.ids.size() - 1);
        const double decode = seconds - result.ttft_ms / 1000.0;
        result.tpot_ms = decode * 1000.0 / later;
        result.tokens_per_second = decode > 0.0 ? later / decode : 0.0;
    }
    const auto positions =
        std::min(result.prompt_ids.size() + result.ids.size(), static_cast<std::size_t>(cache.capacity()));
    for (const KvLayerSpec& spec : cache.specs()) {
        result.kv_cache_bytes +=
            spec.bytes(1, static_cast<std::int64_t>(positions), session.options().max_rows);
    }
    result.peak_memory_bytes = static_cast<std::size_t>(model.model->heldBytes() + prefill_bytes) +
                               cache.bytes() + session.scratchBytes();
}

}  // namespace

Compute resolveCompute(const RunOptions& options, const OpenModel& model) {
    if (!options.compute) {
        return automaticCompute(*model.backend, *model.model);
    }
    const OpTraits traits{.weight = weightDType(*model.model), .compute = *options.compute};
    const Support support = model.backend->supports(Op::Gemm, traits);
    if (!support) {
        throw Error(ErrorCode::Unsupported, "compute: " + support.reason);
    }
    return *options.compute;
}

Support supportsKvFormat(const Backend& backend, const ModelConfig& config, const KvFormat& format) {
    const OpTraits traits{.cache = format.dtype,
                          .quantised = format.hasCodes(),
                          .lift = config.rebuildsKeys(),
                          .alibi = config.position == PositionKind::Alibi};
    Support support = backend.supports(Op::KvAppend, traits);
    return support ? backend.supports(Op::Attention, traits) : support;
}

KvFormat resolveKvFormat(const std::optional<KvFormat>& asked, const ModelConfig& config, DType weights) {
    if (asked) {
        checkKvFormat(*asked);
        KvFormat format = *asked;
        if (format.hasCodes()) {
            format.dtype = weights;
        }
        return format;
    }
    KvFormat format(weights);
    format.planned = config.low_rank && config.low_rank->kv_bits.quantises();
    return format;
}

KvFormat resolveKvFormat(const RunOptions& options, const OpenModel& model) {
    const ModelConfig& config = model.model->config;
    const DType weights = weightDType(*model.model);
    const KvFormat format = resolveKvFormat(options.kv_format, config, weights);
    const Support support = supportsKvFormat(*model.backend, config, format);
    if (support) {
        return format;
    }
    if (options.kv_format) {
        throw Error(ErrorCode::Unsupported, "kv-format: " + support.reason);
    }
    return format.planned && supportsKvFormat(*model.backend, config, weights) ? KvFormat(weights)
                                                                               : KvFormat(DType::F32);
}

std::int64_t resolveRows(const RunOptions& options, const OpenModel& model, std::int64_t asked) {
    constexpr std::int64_t kOfHost = 256, kOfDevice = 2048;
    if (asked > 0) {
        return asked;
    }
    if (model.backend->info().host_accessible) {
        return kOfHost;
    }
    const auto keepsExactRows = [](const KvSideFormat& side) {
        return side.bits != 0 && (side.recent > 0 || side.grouping == KvGrouping::Channel);
    };
    for (const KvLayerSpec& spec : kvLayerSpecs(model.model->config, resolveKvFormat(options, model))) {
        if (keepsExactRows(spec.keys) || keepsExactRows(spec.values)) {
            return kOfHost;
        }
    }
    return kOfDevice;
}

std::int64_t resolveLogitRows(const RunOptions& options, const OpenModel& model, std::int64_t asked) {
    constexpr std::int64_t kFewest = 256, kBytes = std::int64_t{256} << 20;
    const std::int64_t rows = resolveRows(options, model, asked);
    const std::int64_t fit = kBytes / (std::int64_t{model.model->config.vocab_size} * 4);
    return asked > 0 ? rows : std::min(rows, std::max(kFewest, fit));
}

GenerationResult generate(JobContext& job, const OpenModel& model, std::string_view prompt,
                          const GenerationOptions& options, const TokenSink& sink) {
    checkOptions(options);
    GenerationResult result;
    result.prompt_ids = promptIds(model, prompt, options.add_special_tokens);
    const auto prompt_count = static_cast<std::int64_t>(result.prompt_ids.size());

    const std::int64_t chunk = resolveRows(options.run, model, options.prefill_chunk);
    const bool streamed = model.model->streamed();
    GenerationProgress progress(job, *model.model, options.max_tokens);
    const Transformer transformer(model.backend,
                                  watched(model.model, [&progress](int part) { progress.part(part); }));
    Session session = transformer.createSession({.threads = options.run.threads,
                                                 .compute = resolveCompute(options.run, model),
                                                 .max_rows = std::min(chunk, prompt_count),
                                                 .stop = job.stopToken()});
    KvCache cache = transformer.createCache(
        resolveKvFormat(options.run, model),
        std::min<std::int64_t>(prompt_count + options.max_tokens, model.model->config.max_positions), 1,
        session.options().max_rows);
    Sampler sampler(options.sampling);
    StreamDecoder decoder(model.tokenizer, result.prompt_ids);
    std::vector<float> room(static_cast<std::size_t>(model.model->config.vocab_size));

    const Clock::time_point start = Clock::now();
    TensorView logits = prefill(
        transformer, session, cache, prompt_count,
        [&](std::int64_t begin, std::int64_t count) {
            return std::span<const TokenId>(result.prompt_ids)
                .subspan(static_cast<std::size_t>(begin), static_cast<std::size_t>(count));
        },
        [&](std::int64_t done, std::int64_t total) { progress.prefilled(done, total); });
    for (std::optional<StopReason> stop; !stop;) {
        const TokenId id = sampler.next(hostLogits(session, logits, room));
        TokenEvent event{id, {}, secondsSince(start)};
        if (result.ids.empty()) {
            result.ttft_ms = event.seconds * 1000.0;
        }
        result.ids.push_back(id);
        stop = stopReason(model, options, result);
        event.text = decoder.append(id);
        if (stop) {
            event.text += decoder.finish();
            result.stop = *stop;
        }
        result.text += event.text;
        if (sink) {
            sink(event);
        }
        progress.generated(static_cast<std::int64_t>(result.ids.size()));
        if (!stop) {
            job.checkCancelled();
            logits = transformer.forward(session, std::span(&id, 1), cache, LogitsOf::Last);
        } else {
            summarise(result, model, session, cache, event.seconds,
                      streamed ? streamedPrefillBytes(model.model->config, prompt_count, 1) : 0);
        }
    }
    return result;
}

}  // namespace eigenscope
