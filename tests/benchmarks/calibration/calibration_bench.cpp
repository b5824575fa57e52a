// SPDX-License-Identifier: Apache-2.0
// What calibration takes beside its matrix products:
//   eigenscope-calibration-bench MODEL [--device NAME] [--samples 128] [--length 2048]
//       [--attention-queries 0]
// MODEL is a directory or a preset, whose weights are random; tokens are too. Prints JSON: seconds of the
// run, and the seconds that the arithmetic of a forward pass over the same tokens takes at the rate of a
// large matrix product measured in this run. Exit status 77: the device is not there.
#include "app/backends.h"
#include "core/benchmark/ceilings.h"
#include "core/benchmark/work.h"
#include "core/calibration/calibrate.h"

#include <nlohmann/json.hpp>

#include <unistd.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string_view>

using namespace eigenscope;

namespace {

struct Options {
    std::string model, device = "auto";
    int samples = 128, length = 2048, attention_queries = 0;
};

bool parse(int argc, char** argv, Options& options) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        const bool more = i + 1 < argc;
        if (argument == "--device" && more)
            options.device = argv[++i];
        else if (argument == "--samples" && more)
            options.samples = std::atoi(argv[++i]);
        else if (argument == "--length" && more)
            options.length = std::atoi(argv[++i]);
        else if (argument == "--attention-queries" && more)
            options.attention_queries = std::atoi(argv[++i]);
        else if (options.model.empty() && !argument.starts_with("--"))
            options.model = argument;
        else
            return false;
    }
    return !options.model.empty() && options.samples > 0 && options.length > 0 &&
           options.attention_queries >= 0;
}

// A byte a token: presets have no tokenizer, and which tokens they are changes no time.
class ByteTokenizer final : public Tokenizer {
public:
    std::string description() const override { return "bytes"; }
    std::int32_t size() const override { return 256; }
    std::vector<TokenId> encode(std::string_view text, bool, const std::stop_token&) const override {
        std::vector<TokenId> ids;
        for (const char c : text)
            ids.push_back(static_cast<unsigned char>(c));
        return ids;
    }
    std::string decode(std::span<const TokenId> ids, bool) const override {
        std::string text;
        for (const TokenId id : ids)
            text += static_cast<char>(id);
        return text;
    }
    std::string piece(TokenId id) const override { return std::to_string(id); }
    std::optional<TokenId> bos() const override { return std::nullopt; }
    const std::vector<TokenId>& eos() const override { return m_none; }
    bool isSpecial(TokenId) const override { return false; }

private:
    std::vector<TokenId> m_none;
};

// Random letters, enough for windows that do not overlap; removed at the end.
class RandomText {
public:
    explicit RandomText(std::int64_t bytes)
        : m_path(std::filesystem::temp_directory_path() /
                 ("calibration-bench-" + std::to_string(getpid()) + ".txt")) {
        std::mt19937 generator(1);
        std::string text;
        for (std::int64_t i = 0; i < bytes; ++i)
            text += static_cast<char>('a' + generator() % 26);
        std::ofstream(m_path) << text;
    }
    ~RandomText() {
        std::error_code error;
        std::filesystem::remove(m_path, error);
    }
    const std::filesystem::path& path() const { return m_path; }

private:
    std::filesystem::path m_path;
};

double secondsSince(std::chrono::steady_clock::time_point begin) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

nlohmann::ordered_json measure(const Options& options, std::shared_ptr<Backend> backend) {
    JobContext job;
    OpenModel model = openModel(job, std::move(backend), options.model);
    model.tokenizer = std::make_shared<ByteTokenizer>();
    CalibrationOptions calibration;
    calibration.samples = options.samples, calibration.sequence_length = options.length;
    calibration.attention_queries = options.attention_queries;
    const RandomText text(std::int64_t{2} * options.samples * options.length);
    const CalibrationPlan plan = planCalibration(job, model, CorpusSpec(text.path()), calibration);
    const Compute compute = resolveCompute(calibration.run, model);
    const ProductCeiling product = measureProduct(job, *model.backend, 0, weightDType(*model.model), compute);

    CalibrationPlan one = plan;  // memory grows and plans are made in a window that does not count
    one.windows.resize(1);
    one.options.samples = 1;
    runCalibration(job, model, one);
    const auto begin = std::chrono::steady_clock::now();
    runCalibration(job, model, plan);
    const double seconds = secondsSince(begin);
    const double flops = options.samples * prefillFlops(model.model->config, options.length, 1);
    const double products = flops / product.flops_per_second;
    return {{"model", model.name},
            {"device", model.backend->info().name},
            {"samples", options.samples},
            {"length", options.length},
            {"attention_queries", options.attention_queries},
            {"compute", compute == Compute::F32    ? "f32"
                        : compute == Compute::BF16 ? "bf16"
                                                   : "f16"},
            {"seconds", seconds},
            {"flops", flops},
            {"matmul_flops_per_second", product.flops_per_second},
            {"products_seconds", products},
            {"times_of_products", seconds / products}};
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    if (!parse(argc, argv, options)) {
        std::fputs(
            "usage: eigenscope-calibration-bench MODEL [--device NAME] [--samples 128] [--length 2048] "
            "[--attention-queries 0]\n",
            stderr);
        return 2;
    }
    std::shared_ptr<Backend> backend;
    try {
        BackendRegistry registry = availableBackends();
        backend = registry.choose(options.device).backend;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "skipped: device '%s' is not there: %s\n", options.device.c_str(), error.what());
        return 77;
    }
    try {
        std::printf("%s\n", measure(options, backend).dump(1).c_str());
        return 0;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "failed: %s\n", error.what());
        return 1;
    }
}
