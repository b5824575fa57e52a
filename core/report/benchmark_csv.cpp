// SPDX-License-Identifier: Apache-2.0
#include "core/report/benchmark_csv.h"

#include <fmt/format.h>

#include <cmath>
#include <utility>

namespace eigenscope {

namespace {

std::string quoted(const std::string& text) {
    std::string result = "\"";
    for (char c : text) {
        if (c == '"') {
            result += '"';
        }
        result += c;
    }
    return result + '"';
}

const char* computeName(Compute compute) {
    return compute == Compute::F32 ? "f32" : compute == Compute::BF16 ? "bf16" : "f16";
}

}  // namespace

std::string benchmarkCsv(const std::vector<BenchmarkRow>& rows) {
    std::string header, csv;
    for (const BenchmarkRow& row : rows) {
        std::string line;
        const bool first = csv.empty();
        const auto cell = [&](const std::string& name, const std::string& value) {
            if (first) {
                header += (header.empty() ? "" : ",") + name;
            }
            line += (line.empty() ? "" : ",") + value;
        };
        const auto number = [&](const std::string& name, double value, bool known = true) {
            cell(name, known && std::isfinite(value) ? fmt::format("{:.9g}", value) : std::string());
        };
        const auto spread = [&](const std::string& name, const Spread& seconds) {
            const bool known = seconds.samples > 0;
            number(name, seconds.median * 1e3, known);
            number(name + "_min", seconds.least * 1e3, known);
            number(name + "_max", seconds.most * 1e3, known);
        };
        cell("model", quoted(row.model));
        cell("context", std::to_string(row.context));
        cell("batch", std::to_string(row.batch));
        cell("new_tokens", std::to_string(row.new_tokens));
        cell("kv_format", std::string(row.kv_format.planned ? "planned" : nameOf(row.kv_format)));
        cell("compute", computeName(row.compute));
        spread("ttft_ms", row.ttft);
        spread("tpot_ms", row.tpot);
        spread("attention_ms", row.attention);
        number("tokens_per_second", row.tokensPerSecond());
        number("prefill_tokens_per_second", row.prefillTokensPerSecond(), row.hasPrefill());
        cell("kv_cache_bytes", std::to_string(row.kv_cache_bytes));
        cell("peak_memory_bytes", std::to_string(row.peak_memory_bytes));
        cell("weight_bytes_read", std::to_string(row.weight_bytes_read));
        cell("cache_bytes_read", std::to_string(row.cache_bytes_read));
        number("prefill_flops", row.prefill_flops);
        number("attention_bandwidth_fraction", row.attentionBandwidthFraction());
        number("decode_bound_fraction", row.decodeBoundFraction());
        number("prefill_compute_fraction", row.prefillComputeFraction(), row.hasPrefill());
        number("copy_bytes_per_second", row.ceilings.copy.bytes_per_second);
        number("matmul_flops_per_second", row.ceilings.product.flops_per_second);
        csv += line + "\n";
    }
    return header + "\n" + csv;
}

}  // namespace eigenscope
