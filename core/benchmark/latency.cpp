// SPDX-License-Identifier: Apache-2.0
#include "core/benchmark/latency.h"

#include "core/benchmark/device_fill.h"
#include "core/benchmark/recording_backend.h"
#include "core/benchmark/work.h"
#include "core/generation/prefill.h"
#include "core/model/watched_weights.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <span>

namespace eigenscope {

namespace {

using Clock = std::chrono::steady_clock;

double secondsSince(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Tokens of a sequence in one call.
std::int64_t chunkOf(std::int64_t rows, std::int64_t context, int batch) {
    return std::clamp<std::int64_t>(rows / batch, 1, context);
}

std::vector<TokenId> randomIds(std::int64_t count, int vocabulary) {
    std::vector<TokenId> ids(static_cast<std::size_t>(count));
    std::uint64_t state = 1;
    for (TokenId& id : ids) {
        state = state * 6364136223846793005ull + 1442695040888963407ull;
        id = static_cast<TokenId>((state >> 33) % static_cast<std::uint64_t>(vocabulary));
    }
    return ids;
}

}  // namespace

LatencyRun::LatencyRun(JobContext& job, const OpenModel& model, const BenchmarkOptions& options,
                       std::int64_t rows, BenchmarkRow& row)
    : m_job(job),
      m_model(model),
      m_options(options),
      m_row(row),
      m_chunk(chunkOf(rows, row.context, row.batch)),
      m_begin(row.context - row.new_tokens),
      m_parts(streamedParts(*model.model)),
      m_watched(watched(model.model, [this](int part) { partAsked(part); })),
      m_transformer(model.backend, m_watched),
      m_session(m_transformer.createSession({.threads = options.run.threads,
                                             .compute = row.compute,
                                             .max_rows = row.batch * m_chunk,
                                             .stop = job.stopToken()})),
      m_cache(m_transformer.createCache(row.kv_format, row.context, row.batch, m_chunk)),
      m_tokens(randomIds(row.batch * m_chunk, model.model->config.vocab_size)) {
    for (int layer = 0; layer < model.model->config.layers; ++layer) {
        m_exact_rows = m_exact_rows || m_cache.keys(layer).exact_capacity > 0 ||
                       m_cache.values(layer).exact_capacity > 0;
    }
}

void LatencyRun::measure() {
    warmUp();
    if (m_options.prefill) {
        measurePrefill();
    }
    measureDecode();
    const ModelConfig& config = m_model.model->config;
    m_row.kv_cache_bytes = static_cast<std::int64_t>(m_cache.bytes());
    m_row.peak_memory_bytes =
        m_model.model->heldBytes() + static_cast<std::int64_t>(m_cache.bytes() + m_session.scratchBytes());
    if (m_options.prefill && m_parts > 0) {
        m_row.peak_memory_bytes += streamedPrefillBytes(config, m_row.context, m_row.batch);
    }
    m_row.weight_bytes_read = decodeWeightBytes(*m_model.model, m_row.batch);
    m_row.cache_bytes_read = cacheBytesRead(config, m_cache, m_row.context - 1);
    m_row.prefill_flops = prefillFlops(config, m_row.context, m_row.batch);
    measureAttention();
}

void LatencyRun::progress(const std::string& stage, std::int64_t done, std::int64_t total) {
    m_passes = {};
    report(stage, done, total);
}

void LatencyRun::passes(const char* stage, std::int64_t done, std::int64_t total) {
    if (m_parts == 0) {
        progress(stage, done, total);
        return;
    }
    m_passes = {stage + std::string(", parts of the weights"), done, total};
    partAsked(0);
}

void LatencyRun::partAsked(int part) {
    if (!m_passes.stage.empty()) {
        report(m_passes.stage, m_passes.done * m_parts + part, m_passes.total * m_parts);
    }
}

void LatencyRun::report(const std::string& stage, std::int64_t done, std::int64_t total) {
    m_job.progress(m_row.model + ", context " + std::to_string(m_row.context) + ", batch " +
                       std::to_string(m_row.batch) + ": " + stage,
                   done, total);
}

void LatencyRun::fill(std::int64_t length) {
    constexpr std::int64_t kMostFloats = std::int64_t{1} << 21;  // 8 MiB: quick to make, far beyond one head
    m_cache.truncate(0);
    std::int64_t width = 1;  // of a token, the widest side of all layers
    const int layers = m_model.model->config.layers;
    const auto widthOf = [](const KvView& view) { return std::int64_t{view.heads} * view.width; };
    for (int layer = 0; layer < layers; ++layer) {
        width = std::max({width, widthOf(m_cache.keys(layer)), widthOf(m_cache.values(layer))});
    }
    width *= m_row.batch;
    const std::int64_t part = std::clamp<std::int64_t>(kMostFloats / width, 1, m_chunk);
    const std::vector<float> block = randomBlock(width * part);
    Backend& backend = *m_model.backend;
    const auto rows = backend.allocate(block.size() * sizeof(float));
    backend.upload(m_session.stream(), rows->data(), block.data(), block.size() * sizeof(float));
    while (m_cache.length() < length) {
        const std::int64_t count = std::min(part, length - m_cache.length());
        progress("filling the cache", m_cache.length(), length);
        m_cache.prepare(count);
        for (int layer = 0; layer < layers; ++layer) {
            m_job.checkCancelled();
            for (const KvView& view : {m_cache.keys(layer), m_cache.values(layer)}) {
                backend.kvAppend(m_session.stream(), {.x = static_cast<const float*>(rows->data()),
                                                      .cache = view,
                                                      .length = static_cast<std::int32_t>(count),
                                                      .position = m_cache.length()});
            }
        }
        m_session.stream().synchronize();
        m_cache.advance(count);
    }
}

void LatencyRun::rewind() {
    if (m_exact_rows) {
        fill(m_begin);  // rows that the first step reads exactly were overwritten
    } else {
        m_cache.truncate(m_begin);
    }
}

void LatencyRun::step(const Transformer& transformer, Session& session) {
    m_job.checkCancelled();
    const auto batch = static_cast<std::size_t>(m_row.batch);
    transformer.forward(session, std::span<const TokenId>(m_tokens).first(batch), m_cache, LogitsOf::Last);
}

void LatencyRun::prefill() {
    m_cache.truncate(0);
    eigenscope::prefill(
        m_transformer, m_session, m_cache, m_row.context,
        [this](std::int64_t, std::int64_t count) {
            return std::span<const TokenId>(m_tokens).first(static_cast<std::size_t>(count * m_row.batch));
        },
        [this](std::int64_t done, std::int64_t total) {
            m_job.checkCancelled();
            progress(prefillStage(*m_watched), done, total);
        });
}

// Pages are touched, plans for the shapes that follow are made, scratch has grown. Against a pass over
// weights that have to be read, that is nothing.
void LatencyRun::warmUp() {
    fill(m_row.context);
    if (!m_options.prefill || m_parts > 0) {
        return;
    }
    const std::int64_t tail = m_row.context % m_chunk;
    for (const std::int64_t count : {m_chunk, tail}) {
        if (count == 0) {
            continue;
        }
        m_cache.truncate(0);
        progress("warming up", 0, 0);
        m_transformer.forward(
            m_session,
            std::span<const TokenId>(m_tokens).first(static_cast<std::size_t>(count * m_row.batch)), m_cache,
            LogitsOf::Last);
    }
}

void LatencyRun::measurePrefill() {
    std::vector<double> seconds;
    for (int i = 0; i < m_options.repetitions; ++i) {
        const auto start = Clock::now();
        prefill();
        seconds.push_back(secondsSince(start));
    }
    m_row.ttft = spreadOf(seconds);
}

void LatencyRun::measureDecode() {
    fill(m_begin);
    const std::int64_t total = std::int64_t{m_options.repetitions} * m_row.new_tokens;
    if (m_parts > 0) {
        passes("first step", 0, 1);
    }
    step(m_transformer, m_session);
    std::vector<double> seconds;
    for (int i = 0; i < m_options.repetitions; ++i) {
        rewind();
        const auto start = Clock::now();
        for (int token = 0; token < m_row.new_tokens; ++token) {
            passes("decode", i * m_row.new_tokens + token, total);
            step(m_transformer, m_session);
        }
        seconds.push_back(secondsSince(start) / m_row.new_tokens);
    }
    m_row.tpot = spreadOf(seconds);
}

void LatencyRun::measureAttention() {
    constexpr double kRoundSeconds = 0.02;  // of which waiting for the device is little
    fill(m_row.context - 1);
    const auto recorder = std::make_shared<RecordingBackend>(m_model.backend);
    const Transformer transformer(recorder, m_watched);
    Session session = transformer.createSession({.threads = m_options.run.threads,
                                                 .compute = m_row.compute,
                                                 .max_rows = m_row.batch,
                                                 .stop = m_job.stopToken()});
    if (m_parts > 0) {
        passes("step for attention", 0, 1);
    }
    step(transformer, session);
    Stream& stream = session.stream();
    const auto round = [&](std::int64_t passes) {
        const auto start = Clock::now();
        for (std::int64_t pass = 0; pass < passes; ++pass) {
            for (const AttentionParams& call : recorder->attentions()) {
                m_job.checkCancelled();
                m_model.backend->attention(stream, call);
            }
        }
        stream.synchronize();
        return secondsSince(start) / static_cast<double>(passes);
    };
    progress("attention", 0, m_options.repetitions);
    round(1);
    const double one = round(1);
    const auto passes =
        static_cast<std::int64_t>(std::clamp(std::ceil(kRoundSeconds / std::max(one, 1e-9)), 1.0, 1000.0));
    std::vector<double> seconds;
    for (int i = 0; i < m_options.repetitions; ++i) {
        progress("attention", i, m_options.repetitions);
        seconds.push_back(round(passes));
    }
    m_row.attention = spreadOf(seconds);
}

}  // namespace eigenscope
