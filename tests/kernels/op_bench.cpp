// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/op_bench.h"

#include "core/base/atomic_output.h"
#include "core/base/job_context.h"
#include "core/benchmark/ceilings.h"
#include "tests/kernels/op_case.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <map>

namespace eigenscope::optest {

namespace {

using Json = nlohmann::ordered_json;

// On a host, larger cases take minutes and say nothing new. A GPU has room and speed for all.
constexpr double kHostBytes = 300e6, kHostFlops = 50e9;
constexpr double kUsable = 0.9;  // of the memory that is free

// "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15 ...": what the kernel's driver says of itself.
std::string driverOf(const Backend& device) {
    if (device.info().host_accessible)
        return {};
    std::ifstream in("/proc/driver/nvidia/version");
    std::string line;
    std::getline(in, line);
    return line;
}

std::string today() {
    const std::time_t now = std::time(nullptr);
    char text[32];
    std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", std::gmtime(&now));
    return text;
}

std::string gigabytes(double bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f GB", bytes * 1e-9);
    return text;
}

// Why a case is not run; empty when it is.
std::string reasonToSkip(const OpCase& op_case, const BenchOptions& options, Backend& device) {
    if (const Support support = device.supports(op_case.op, op_case.traits); !support)
        return "unsupported: " + support.reason;
    const auto free = static_cast<double>(device.memory().available_bytes);
    if (op_case.memory > kUsable * free)
        return "takes " + gigabytes(op_case.memory) + " of memory, " + gigabytes(free) + " are free";
    if (options.all || !device.info().host_accessible)
        return {};
    if (op_case.bytes > kHostBytes)
        return "reads " + gigabytes(op_case.bytes) + ", on a host at most " + gigabytes(kHostBytes) +
               " unless --all";
    if (op_case.flops > kHostFlops)
        return "takes long on a host; --all runs it";
    return {};
}

struct Ceilings {
    CopyCeiling copy;
    std::map<Compute, ProductCeiling> products;  // of every arithmetic that the device has
    double fastest = 0.0;
};

Ceilings measureCeilings(const BenchOptions& options, Backend& device) {
    JobContext job;
    Ceilings ceilings;
    ceilings.copy = measureCopy(job, device, options.threads);
    std::printf("copy of %zu MiB: %.1f GB/s read and written\n", ceilings.copy.copied_bytes >> 20,
                ceilings.copy.bytes_per_second * 1e-9);
    for (const auto& [compute, weight] :
         {std::pair{Compute::F32, DType::F32}, {Compute::F16, DType::F16}, {Compute::BF16, DType::BF16}}) {
        if (!device.supports(Op::Gemm, {.weight = weight, .compute = compute}))
            continue;
        const ProductCeiling product = measureProduct(job, device, options.threads, weight, compute);
        ceilings.products[compute] = product;
        ceilings.fastest = std::max(ceilings.fastest, product.flops_per_second);
        std::printf("product of %lld^3, %s: %.1f GFLOP/s\n", static_cast<long long>(product.size),
                    name(compute), product.flops_per_second * 1e-9);
    }
    return ceilings;
}

Json ceilingsJson(const Ceilings& ceilings) {
    Json json = {{"copy_bytes_per_second", ceilings.copy.bytes_per_second},
                 {"copied_bytes", ceilings.copy.copied_bytes},
                 {"matmul_flops_per_second", ceilings.fastest},
                 {"matmuls", Json::array()}};
    for (const auto& [compute, product] : ceilings.products)
        json["matmuls"].push_back({{"compute", name(compute)},
                                   {"size", product.size},
                                   {"flops_per_second", product.flops_per_second}});
    return json;
}

double timed(const OpCase& op_case, const BenchOptions& options, Backend& device) {
    OpRun run(device, options.threads, 1, false);
    run.timing.enabled = true;
    op_case.run(run);
    return run.timing.seconds;
}

// One case: a line of the table and a row of the file. `dense`: seconds of the dense variants so far.
Json measure(const OpCase& op_case, const BenchOptions& options, Backend& device, const Ceilings& ceilings,
             std::map<std::string, double>& dense) {
    const double seconds = timed(op_case, options, device);
    const double copied = op_case.bytes / seconds / ceilings.copy.bytes_per_second;
    Json row = {
        {"name", op_case.name},         {"op", nameOf(op_case.op)},
        {"seconds", seconds},           {"bytes", op_case.bytes},
        {"bandwidth_fraction", copied}, {"flops", op_case.flops > 0.0 ? Json(op_case.flops) : Json()}};
    std::printf("%-86s %10.1f %9.2f %6.1f%%", op_case.name.c_str(), seconds * 1e6,
                op_case.bytes / seconds * 1e-9, 100.0 * copied);
    if (op_case.flops > 0.0) {
        row["compute_fraction"] = op_case.flops / seconds / ceilings.fastest;
        std::printf(" %10.1f %6.1f%%", op_case.flops / seconds * 1e-9,
                    100.0 * op_case.flops / seconds / ceilings.fastest);
    } else {
        row["compute_fraction"] = nullptr;
        std::printf(" %10s %7s", "", "");
    }
    if (!op_case.problem.empty()) {
        row["problem"] = op_case.problem;
        row["variant"] = op_case.variant;
        if (op_case.variant == "dense")
            dense[op_case.problem] = seconds;
        const auto found = dense.find(op_case.problem);
        row["time_of_dense"] = found != dense.end() ? Json(seconds / found->second) : Json();
        if (found != dense.end())
            std::printf(" %6.3f", seconds / found->second);
    }
    std::printf("\n");
    return row;
}

}  // namespace

void runBench(const BenchOptions& options, Backend& device) {
    const Ceilings ceilings = measureCeilings(options, device);
    Json json = {{"device",
                  {{"backend", device.info().backend},
                   {"name", device.info().name},
                   {"instructions", device.info().instructions},
                   {"driver", driverOf(device).empty() ? Json() : Json(driverOf(device))},
                   {"memory_bytes", device.memory().total_bytes}}},
                 {"date", today()},
                 {"command", options.command},
                 {"ceilings", ceilingsJson(ceilings)},
                 {"rows", Json::array()},
                 {"skipped", Json::array()}};
    std::printf("%-86s %10s %9s %7s %10s %7s %6s\n", "case", "us", "GB/s", "copy", "GFLOP/s", "gemm",
                "dense");
    // After each case: a run that is stopped leaves what it has.
    const auto save = [&] {
        if (!options.json.empty())
            writeTextFile(options.json, json.dump(1) + "\n");
    };
    save();
    std::map<std::string, double> dense;
    for (const OpCase& op_case : benchCases()) {
        if (op_case.name.find(options.filter) == std::string::npos)
            continue;
        if (const std::string reason = reasonToSkip(op_case, options, device); !reason.empty()) {
            std::printf("%-86s skipped: %s\n", op_case.name.c_str(), reason.c_str());
            json["skipped"].push_back({{"name", op_case.name}, {"reason", reason}});
        } else {
            json["rows"].push_back(measure(op_case, options, device, ceilings, dense));
        }
        std::fflush(stdout);
        save();
    }
}

}  // namespace eigenscope::optest
