// SPDX-License-Identifier: Apache-2.0
#include "tests/core/method_support.h"

#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "core/model/transformer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

namespace eigenscope::test {

namespace fs = std::filesystem;

std::vector<double> MethodGolden::numbers(const std::string& name) const {
    const TensorRecord& tensor = data->at(name);
    std::vector<double> values(static_cast<std::size_t>(tensor.count()));
    if (tensor.dtype == FileDType::F64) {
        std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
        return values;
    }
    std::vector<float> singles(values.size());
    std::memcpy(singles.data(), tensor.bytes.data(), tensor.bytes.size());
    std::copy(singles.begin(), singles.end(), values.begin());
    return values;
}

std::vector<TokenId> MethodGolden::ids(const std::string& name) const {
    const TensorRecord& tensor = data->at(name);
    std::vector<TokenId> values(static_cast<std::size_t>(tensor.count()));
    std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    return values;
}

std::vector<std::string> methodGoldenNames() { return {"llama", "opt", "mpt"}; }

fs::path methodGoldenDirectory(const std::string& name) {
    return fs::path(EIGENSCOPE_SOURCE_DIR) / "tests" / "golden" / "method" / name;
}

MethodGolden openMethodGolden(const std::string& name, std::shared_ptr<Backend> backend) {
    JobContext job;
    const fs::path directory = methodGoldenDirectory(name);
    MethodGolden golden;
    golden.open = openModel(job, std::move(backend), directory);
    golden.text = directory.parent_path() / "text.txt";
    golden.expected = readJsonFile(directory / "expected.json");
    golden.data = std::make_shared<const SafetensorsFile>(directory / "expected.golden");
    return golden;
}

CalibrationOptions goldenCalibration(const MethodGolden& golden) {
    CalibrationOptions options;
    options.samples = golden.expected["samples"];
    options.sequence_length = golden.expected["sequence_length"];
    options.seed = golden.expected["seed"];
    return options;
}

PerplexityOptions goldenWindows(const MethodGolden& golden) {
    PerplexityOptions options;
    options.sequence_length = golden.expected["evaluation_length"];
    options.windows = golden.expected["compared_windows"];
    return options;
}

namespace {

double uniform(std::mt19937_64& random) { return static_cast<double>(random() >> 11) * 0x1p-53 - 0.5; }

// Rows whose elements shrink along the width, mixed so that directions are not axes.
Moments randomMoments(int heads, int width, std::int64_t rows, std::mt19937_64& random) {
    Moments moments(heads, width);
    moments.rows = rows;
    const auto n = static_cast<std::size_t>(width);
    for (std::size_t head = 0; head < static_cast<std::size_t>(heads); ++head) {
        std::vector<double> mix(n * n), x(n);
        for (double& m : mix)
            m = uniform(random);
        for (std::int64_t row = 0; row < rows; ++row) {
            std::fill(x.begin(), x.end(), 0.0);
            for (std::size_t i = 0; i < n; ++i) {
                const double amount = uniform(random) * std::pow(0.6, static_cast<double>(i));
                for (std::size_t j = 0; j < n; ++j)
                    x[j] += amount * mix[i * n + j];
            }
            for (std::size_t i = 0; i < n; ++i) {
                moments.sum[head * n + i] += x[i];
                for (std::size_t j = 0; j < n; ++j)
                    moments.gram[(head * n + i) * n + j] += x[i] * x[j];
            }
        }
    }
    return moments;
}

}  // namespace

Statistics randomStatistics(int layers, int query_heads, int kv_heads, int head_dim, bool rotary,
                            std::uint64_t seed) {
    std::mt19937_64 random(seed);
    Statistics s;
    s.model_name = "random";
    s.model_fingerprint = "0123456789abcdef";
    s.family = rotary ? "llama" : "opt";
    s.rotary = rotary;
    s.query_heads = query_heads;
    s.kv_heads = kv_heads;
    s.head_dim = head_dim;
    s.calibration = {"text.txt", "fedcba9876543210", 3, 32, 18446744073709551615ull};
    s.tokens = 96;
    const std::int64_t query_rows = s.tokens * (query_heads / kv_heads);
    for (int layer = 0; layer < layers; ++layer)
        s.layers.push_back({randomMoments(kv_heads, head_dim, s.tokens, random),
                            randomMoments(kv_heads, head_dim, query_rows, random),
                            randomMoments(kv_heads, head_dim, s.tokens, random),
                            randomMoments(kv_heads, head_dim, query_rows, random)});
    s.probe_windows = {{1, 2, 3, 4}, {5, 6, 7, 8}, {0, 9, 10, 2147483647}};
    return s;
}

Conversion convertAsExpected(const MethodGolden& golden) {
    JobContext job;
    Conversion c;
    c.statistics = calibrate(job, golden.open, golden.text, goldenCalibration(golden));
    c.spectrum = computeSpectrum(job, *golden.open.backend, c.statistics, "eigen");
    c.plan = fullPlan(*c.spectrum, 1);
    applyThresholds(c.plan, *c.spectrum, golden.expected["convert_at"], golden.expected["convert_at"]);
    c.converted = convertInMemory(job, golden.open, c.statistics, *c.spectrum, c.plan);
    return c;
}

std::vector<float> allLogits(const OpenModel& model, const std::vector<TokenId>& ids, std::int64_t chunk) {
    const Transformer transformer(model.backend, model.model);
    const auto length = static_cast<std::int64_t>(ids.size());
    const auto size = static_cast<std::size_t>(std::min(chunk, length));
    Session session =
        transformer.createSession({.threads = 1, .max_rows = static_cast<std::int64_t>(size), .stop = {}});
    KvCache cache = transformer.createCache(DType::F32, length);
    std::vector<float> logits;
    for (std::size_t at = 0; at < ids.size(); at += size) {
        const auto part = std::span(ids).subspan(at, std::min(size, ids.size() - at));
        const TensorView view = transformer.forward(session, part, cache, LogitsOf::All);
        const std::size_t start = logits.size();
        logits.resize(start + static_cast<std::size_t>(view.shape.count()));
        model.backend->download(session.stream(), logits.data() + start, view.data, view.bytes());
    }
    return logits;
}

double relativeDifference(const std::vector<float>& found, const std::vector<float>& expected) {
    if (found.size() != expected.size() || found.empty())
        return INFINITY;
    const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
    double largest = 0;
    for (std::size_t i = 0; i < found.size(); ++i) {
        const double difference = std::abs(static_cast<double>(found[i]) - expected[i]);
        largest = std::isfinite(difference) ? std::max(largest, difference) : INFINITY;
    }
    return largest / (static_cast<double>(*high) - *low);
}

std::vector<std::string> entriesOf(const fs::path& directory) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(directory))
        names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

}  // namespace eigenscope::test
