// SPDX-License-Identifier: Apache-2.0
// One row of a benchmark: one model at one context and batch. For benchmark.cpp. One thread.
#pragma once

#include "core/benchmark/benchmark.h"
#include "core/model/transformer.h"

#include <string>
#include <vector>

namespace eigenscope {

class LatencyRun {
public:
    // `row` says what to measure and receives it; `rows`: tokens of one prefill call.
    LatencyRun(JobContext& job, const OpenModel& model, const BenchmarkOptions& options, std::int64_t rows,
               BenchmarkRow& row);
    void measure();

private:
    void warmUp();
    void measurePrefill();
    void measureDecode();
    void measureAttention();

    void prefill();
    // An emptied cache with `length` positions of random rows.
    void fill(std::int64_t length);
    // The cache as it was when decode began.
    void rewind();
    void step(const Transformer& transformer, Session& session);
    void progress(const std::string& stage, std::int64_t done, std::int64_t total);
    // The same for a stage of passes over the weights: those of a streamed model count by part.
    void passes(const char* stage, std::int64_t done, std::int64_t total);
    void partAsked(int part);
    void report(const std::string& stage, std::int64_t done, std::int64_t total);

    JobContext& m_job;
    const OpenModel& m_model;
    const BenchmarkOptions& m_options;
    BenchmarkRow& m_row;
    std::int64_t m_chunk;  // tokens of a sequence in one prefill call
    std::int64_t m_begin;  // positions in the cache when decode begins
    int m_parts;           // of a streamed model's pass; 0 when it is held
    struct Passes {
        std::string stage;  // empty: of another kind
        std::int64_t done = 0, total = 0;
    } m_passes;
    std::shared_ptr<const Model> m_watched;
    Transformer m_transformer;
    Session m_session;
    KvCache m_cache;
    bool m_exact_rows = false;      // the cache keeps some rows in rings, which overwrite older ones
    std::vector<TokenId> m_tokens;  // [batch, chunk] random ids; a step takes the first of them
};

}  // namespace eigenscope
