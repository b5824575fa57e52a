// SPDX-License-Identifier: Apache-2.0
// The table of op cases that every backend passes against the reference backend, and that the op benchmarks
// time. A case is a name, what supports() is asked, and a function that builds inputs and runs the op. No Qt:
// the program that walks the table also runs on machines that have nothing but a device.
#pragma once

#include "tests/kernels/op_run.h"

#include <functional>
#include <span>
#include <string>
#include <vector>

namespace eigenscope::optest {

struct OpCase {
    std::string name;  // "gemm/m=3 n=17 k=65 bf16 +bias"
    Op op = Op::Gemm;
    OpTraits traits;
    std::function<void(OpRun&)> run;
    bool misaligned =
        false;  // arrays start at an odd element, as rows of a tensor or a mapped file's weights may

    // Benchmarks: work of one call, and not part of the correctness table when true.
    bool bench = false;
    double bytes = 0.0;   // least memory traffic
    double flops = 0.0;   // 0: bandwidth is what counts
    double memory = 0.0;  // device memory that its arrays take; 0: little
    // Variants of one problem ("dense", "low-rank, lifted"), of which each one's time is given as a fraction
    // of the dense one's. Empty: none.
    std::string problem, variant;
};

enum class Outcome { Passed, Failed, Unsupported };

struct CaseResult {
    Outcome outcome = Outcome::Passed;
    std::string detail;  // failures, or why it is unsupported
    double worst = 0.0;  // largest error as a fraction of its bound
};

// Runs the case on `backend` with each of the thread counts and on `reference`, and compares.
CaseResult runCase(const OpCase& op_case, Backend& backend, Backend& reference,
                   const std::vector<int>& threads);

// Compares one output with the reference's; empty when within the bound. `worst` is raised to error / bound.
std::string compare(const Output& output, const Output& reference, double& worst);

std::vector<OpCase> allCases();    // correctness
std::vector<OpCase> benchCases();  // speed

// A case of an op that every backend supports; its name is the op's, then `name`.
void add(std::vector<OpCase>& cases, std::string name, Op op, std::function<void(OpRun&)> run,
         bool misaligned = false);

// One function a subject (op_cases_*.cpp); each appends to the table.
void addGemmCases(std::vector<OpCase>& cases);
void addRowCases(std::vector<OpCase>& cases);
void addComposedCases(std::vector<OpCase>& cases);
void addCacheCases(std::vector<OpCase>& cases);
void addAttentionCases(std::vector<OpCase>& cases);
void addCodeCases(std::vector<OpCase>& cases);
void addStatisticsCases(std::vector<OpCase>& cases);
void addMomentCases(std::vector<OpCase>& cases);
void addBenchCases(std::vector<OpCase>& cases);
void addComposedBenchCases(std::vector<OpCase>& cases);
void addAttentionBenchCases(std::vector<OpCase>& cases);

// Cosines and sines as a rotary embedding has them, on the device.
RotaryTable rotaryTable(OpRun& run, std::int64_t positions, std::int32_t rotary_dim);

// A position in device memory; null when `on_device` is false. The op's own is then the largest possible.
inline const std::int64_t* devicePosition(OpRun& run, bool on_device, std::int64_t position) {
    if (!on_device)
        return nullptr;
    const auto bytes = std::as_bytes(std::span(&position, 1));
    return static_cast<const std::int64_t*>(run.inputBytes({bytes.begin(), bytes.end()}));
}

inline const char* name(Compute compute) {
    return compute == Compute::F32 ? "f32" : compute == Compute::F16 ? "f16" : "bf16";
}

inline constexpr DType kDTypes[] = {DType::F32, DType::F16, DType::BF16};
inline constexpr double kEpsilon =
    1.1920929e-7;  // spacing of float32 at 1; rounding errs by half of it at most

}  // namespace eigenscope::optest
