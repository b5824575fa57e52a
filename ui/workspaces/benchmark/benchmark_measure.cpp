// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/benchmark/benchmark_measure.h"

#include "ui/model/units.h"

#include <QCoreApplication>

namespace eigenscope {

namespace {

QString say(const char* text) { return QCoreApplication::translate("BenchmarkMeasure", text); }

bool isTime(BenchmarkMeasure measure) {
    return measure == BenchmarkMeasure::Tpot || measure == BenchmarkMeasure::Ttft ||
           measure == BenchmarkMeasure::Attention;
}

MeasuredValue spreadValue(const Spread& seconds, double ceiling) {
    return {seconds.median, seconds.least, seconds.most, ceiling};
}

MeasuredValue bytesValue(std::int64_t bytes) {
    const auto value = static_cast<double>(bytes);
    return {value, value, value, {}};
}

}  // namespace

MeasureWords wordsOf(BenchmarkMeasure measure) {
    switch (measure) {
        case BenchmarkMeasure::Tpot:
            return {say("TPOT"), say("Time per output token"),
                    say("Time of a decode step at the end of the context; each sequence of the batch gets a "
                        "token. Lower is better."),
                    say("weights and cache read once, at the copy's rate")};
        case BenchmarkMeasure::Ttft:
            return {
                say("TTFT"), say("Time to first token"),
                say("Time of the prefill, which takes the whole context through the model. Lower is better."),
                say("its arithmetic at the matrix product's rate")};
        case BenchmarkMeasure::Attention:
            return {
                say("Attention"), say("Attention time"),
                say("Of a decode step, the time in the attention op of all layers, measured alone. Lower is "
                    "better."),
                say("the cache read once, at the copy's rate")};
        case BenchmarkMeasure::Throughput:
            return {say("Tokens/s"), say("Decode throughput"),
                    say("Tokens a second of all sequences of the batch together. Higher is better."),
                    say("weights and cache read once, at the copy's rate")};
        case BenchmarkMeasure::KvCache:
            return {say("KV cache"),
                    say("KV cache size"),
                    say("Bytes allocated for keys and values of the context. Lower is better."),
                    {}};
        case BenchmarkMeasure::PeakMemory:
            return {say("Memory"),
                    say("Peak memory"),
                    say("Weights, KV cache, activations and the ops' scratch. Lower is better."),
                    {}};
    }
    return {};
}

std::optional<MeasuredValue> valueOf(BenchmarkMeasure measure, const BenchmarkRow& row) {
    switch (measure) {
        case BenchmarkMeasure::Tpot:
            return spreadValue(row.tpot, row.decodeBoundSeconds());
        case BenchmarkMeasure::Ttft:
            return row.hasPrefill() ? std::optional(spreadValue(row.ttft, row.prefillBoundSeconds()))
                                    : std::nullopt;
        case BenchmarkMeasure::Attention:
            return spreadValue(row.attention, row.attentionBoundSeconds());
        case BenchmarkMeasure::Throughput:  // the longest time is the least rate
            return MeasuredValue{row.tokensPerSecond(), row.batch / row.tpot.most, row.batch / row.tpot.least,
                                 row.batch / row.decodeBoundSeconds()};
        case BenchmarkMeasure::KvCache:
            return bytesValue(row.kv_cache_bytes);
        case BenchmarkMeasure::PeakMemory:
            return bytesValue(row.peak_memory_bytes);
    }
    return std::nullopt;
}

QString valueText(BenchmarkMeasure measure, double value) {
    return isTime(measure)                           ? secondsText(value)
           : measure == BenchmarkMeasure::Throughput ? say("%1 tokens/s").arg(figureText(value))
                                                     : bytesText(value);
}

AxisUnit axisUnit(BenchmarkMeasure measure, double most) {
    if (isTime(measure)) {
        return most < 1e-3  ? AxisUnit{1e-6, QStringLiteral("µs")}
               : most < 1.0 ? AxisUnit{1e-3, QStringLiteral("ms")}
                            : AxisUnit{1.0, QStringLiteral("s")};
    }
    if (measure == BenchmarkMeasure::Throughput) {
        return {1.0, say("tokens/s")};
    }
    constexpr double kKi = 1024.0;
    return most < kKi * kKi         ? AxisUnit{kKi, QStringLiteral("KiB")}
           : most < kKi * kKi * kKi ? AxisUnit{kKi * kKi, QStringLiteral("MiB")}
                                    : AxisUnit{kKi * kKi * kKi, QStringLiteral("GiB")};
}

}  // namespace eigenscope
