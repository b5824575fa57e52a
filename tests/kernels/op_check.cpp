// SPDX-License-Identifier: Apache-2.0
// eigenscope-op-check: walks the table of op cases on one device and compares it with the reference backend,
// or times the bench cases. Exit status: 0 all passed, 1 something failed, 2 wrong usage, 77 the device is
// not there.
#include "kernels/api/registry.h"
#include "kernels/reference/reference_backend.h"
#include "tests/kernels/emulation/emulated_backend.h"
#include "tests/kernels/op_bench.h"
#include "tests/kernels/op_case.h"
#ifdef EIGENSCOPE_HAVE_CPU
#include "kernels/cpu/cpu_backend.h"
#endif

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string_view>

using namespace eigenscope;
using namespace eigenscope::optest;

namespace {

struct Options {
    std::string device = "cpu";
    std::string filter;
    std::string module = EIGENSCOPE_CUDA_MODULE;
    int threads = 0;
    std::string json;
    bool bench = false, all = false, verbose = false;
};

constexpr const char* kUsage =
    "usage: eigenscope-op-check [--device reference|cpu|cuda|cuda-emulated] [--filter TEXT] [--threads N] "
    "[--verbose]\n"
    "                           [--module FILE] [--bench [--all] [--json FILE]]\n"
    "  --filter   only cases whose name contains TEXT, e.g. 'attention/' or 'bf16'\n"
    "  --threads  one thread count instead of 1 and 2 on the CPU (bench: instead of the device's default)\n"
    "  --bench    time the bench cases; rates beside a large copy and a large matrix product of the same "
    "run\n"
    "  --all      with --bench: also cases that are too large for a host to be quick\n"
    "  --json     with --bench: the same as a file\n"
    "  --module   the CUDA module's file\n";

bool parse(int argc, char** argv, Options& options) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument = argv[i];
        std::string* text = argument == "--device"   ? &options.device
                            : argument == "--filter" ? &options.filter
                            : argument == "--module" ? &options.module
                            : argument == "--json"   ? &options.json
                                                     : nullptr;
        if (argument == "--bench") {
            options.bench = true;
        } else if (argument == "--all") {
            options.all = true;
        } else if (argument == "--verbose") {
            options.verbose = true;
        } else if (i + 1 < argc && text) {
            *text = argv[++i];
        } else if (i + 1 < argc && argument == "--threads") {
            options.threads = std::atoi(argv[++i]);
        } else {
            return false;
        }
    }
    if (!options.bench && (options.all || !options.json.empty()))
        return false;
    return options.device == "reference" || options.device == "cpu" || options.device == "cuda" ||
           options.device == "cuda-emulated";
}

std::shared_ptr<Backend> createDevice(const Options& options) {
    if (options.device == "reference")
        return createReferenceBackend();
    if (options.device == "cuda-emulated")
        return emulation::createEmulatedCudaBackend(std::int64_t{1} << 15);
    if (options.device == "cuda") {
        if (options.module.empty())
            throw Error(ErrorCode::Device, "this build has no CUDA module (no CUDA toolkit was found)");
        return loadBackendModule(options.module);
    }
#ifdef EIGENSCOPE_HAVE_CPU
    return createCpuBackend();
#else
    throw Error(ErrorCode::Device, "this build has no CPU backend (oneDNN or Highway was not found)");
#endif
}

int check(const Options& options, Backend& device) {
    const std::shared_ptr<Backend> reference = createReferenceBackend();
    // Devices without threads of their own get each case once.
    const std::vector<int> threads = options.threads > 0              ? std::vector{options.threads}
                                     : device.info().backend == "cpu" ? std::vector{1, 2}
                                                                      : std::vector{1};
    int passed = 0, failed = 0, skipped = 0;
    std::map<std::string, int> reasons;
    std::map<std::string, double> worst;
    for (const OpCase& op_case : allCases()) {
        if (op_case.name.find(options.filter) == std::string::npos)
            continue;
        const CaseResult result = runCase(op_case, device, *reference, threads);
        switch (result.outcome) {
            case Outcome::Passed:
                ++passed;
                if (options.verbose)
                    std::printf("pass  %s (%.2f of the bound)\n", op_case.name.c_str(), result.worst);
                break;
            case Outcome::Failed:
                ++failed;
                std::printf("FAIL  %s: %s\n", op_case.name.c_str(), result.detail.c_str());
                break;
            case Outcome::Unsupported:
                ++skipped;
                ++reasons[std::string(nameOf(op_case.op)) + ": " + result.detail];
                if (options.verbose)
                    std::printf("skip  %s: %s\n", op_case.name.c_str(), result.detail.c_str());
                break;
        }
        double& largest = worst[nameOf(op_case.op)];
        largest = std::max(largest, result.worst);
    }
    for (const auto& [op, fraction] : worst)
        std::printf("%-10s largest error %.2f of its bound\n", op.c_str(), fraction);
    for (const auto& [reason, count] : reasons)
        std::printf("%d skipped, unsupported: %s\n", count, reason.c_str());
    std::printf("%d passed, %d failed, %d skipped\n", passed, failed, skipped);
    return failed == 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    std::setvbuf(stdout, nullptr, _IOLBF, 4096);  // a device that hangs must not take lines with it
    Options options;
    if (!parse(argc, argv, options)) {
        std::fputs(kUsage, stderr);
        return 2;
    }
    std::shared_ptr<Backend> device;
    try {
        device = createDevice(options);
    } catch (const std::exception& error) {
        std::printf("skipped: device '%s' is not there: %s\n", options.device.c_str(), error.what());
        return 77;
    }
    try {
        std::printf("%s: %s, %s\n", device->info().backend.c_str(), device->info().name.c_str(),
                    device->info().instructions.c_str());
        if (!options.bench)
            return check(options, *device);
        BenchOptions bench{options.filter, options.json, "", options.threads, options.all};
        for (int i = 0; i < argc; ++i)
            bench.command += (i > 0 ? " " : "") + std::string(argv[i]);
        runBench(bench, *device);
        return 0;
    } catch (const std::exception& error) {
        std::printf("failed: %s\n", error.what());
        return 1;
    }
}
