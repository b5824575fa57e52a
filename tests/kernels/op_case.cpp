// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/op_case.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>

namespace eigenscope::optest {

namespace {

// Not std::hash: the inputs of a case are to be the same with every standard library. FNV-1a.
std::uint64_t seedOf(const std::string& name) {
    std::uint64_t hash = 0xcbf29ce484222325ull;
    for (char c : name)
        hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
    return hash;
}

std::string formatted(const char* format, const std::string& name, double value, double limit) {
    char text[256];
    std::snprintf(text, sizeof text, format, name.c_str(), value, limit);
    return text;
}

}  // namespace

std::string compare(const Output& output, const Output& reference, double& worst) {
    if (output.values.size() != reference.values.size())
        return output.name + ": sizes differ";
    const std::size_t count = output.values.size();
    double power = 0.0, error = 0.0, largest = 0.0;
    std::size_t where = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const double y = output.values[i], r = reference.values[i];
        if (std::isnan(r) && std::isnan(y))
            continue;
        if (!std::isfinite(r) || !std::isfinite(y)) {
            if (y == r)
                continue;
            return formatted("%s: %g where the reference has %g", output.name, y, r) + ", element " +
                   std::to_string(i);
        }
        power += r * r;
        error += (y - r) * (y - r);
        if (std::abs(y - r) > largest) {
            largest = std::abs(y - r);
            where = i;
        }
    }
    if (error == 0.0)
        return {};
    const std::string at = ", element " + std::to_string(where) + " of " + std::to_string(count);
    const Bound& bound = reference.bound;
    power = std::max(power, bound.scale * bound.scale * static_cast<double>(count));
    if (power == 0.0)
        return formatted("%s: not zero (%g), the reference is (%g)", output.name, largest, 0.0) + at;
    const double nmse = error / power;
    const double relative = largest / std::sqrt(power / static_cast<double>(count));
    if (bound.nmse > 0.0)
        worst = std::max({worst, std::sqrt(nmse / bound.nmse), relative / bound.largest});
    if (!(nmse <= bound.nmse))
        return formatted("%s: normalised mean squared error %.3g, bound %.3g", output.name, nmse,
                         bound.nmse) +
               at;
    if (!(relative <= bound.largest))
        return formatted("%s: largest error %.3g of the RMS, bound %.3g", output.name, relative,
                         bound.largest) +
               at;
    return {};
}

CaseResult runCase(const OpCase& op_case, Backend& backend, Backend& reference,
                   const std::vector<int>& threads) {
    const Support support = backend.supports(op_case.op, op_case.traits);
    if (!support)
        return {Outcome::Unsupported, support.reason, 0.0};
    CaseResult result;
    const auto fail = [&](const std::string& what) {
        result.outcome = Outcome::Failed;
        result.detail += (result.detail.empty() ? "" : "; ") + what;
    };
    const std::uint64_t seed = seedOf(op_case.name);
    try {
        OpRun expected(reference, 1, seed, false);
        op_case.run(expected);
        expected.finish();
        for (const std::string& failure : expected.failures())
            fail("the reference itself: " + failure);
        for (int count : threads) {
            const std::string prefix = threads.size() > 1 ? "threads " + std::to_string(count) + ": " : "";
            OpRun actual(backend, count, seed, op_case.misaligned);
            op_case.run(actual);
            actual.finish();
            for (const std::string& failure : actual.failures())
                fail(prefix + failure);
            for (std::size_t i = 0; i < actual.outputs().size(); ++i) {
                const std::string what = compare(actual.outputs()[i], expected.outputs().at(i), result.worst);
                if (!what.empty())
                    fail(prefix + what);
            }
        }
    } catch (const std::exception& error) {
        fail(std::string("threw: ") + error.what());
    }
    return result;
}

void add(std::vector<OpCase>& cases, std::string name, Op op, std::function<void(OpRun&)> run,
         bool misaligned) {
    OpCase op_case;
    op_case.name = std::string(nameOf(op)) + "/" + std::move(name) + (misaligned ? " misaligned" : "");
    op_case.op = op;
    op_case.run = std::move(run);
    op_case.misaligned = misaligned;
    cases.push_back(std::move(op_case));
}

std::vector<OpCase> allCases() {
    std::vector<OpCase> cases;
    addGemmCases(cases);
    addRowCases(cases);
    addComposedCases(cases);
    addCacheCases(cases);
    addAttentionCases(cases);
    addCodeCases(cases);
    addStatisticsCases(cases);
    addMomentCases(cases);
    return cases;
}

std::vector<OpCase> benchCases() {
    std::vector<OpCase> cases;
    addBenchCases(cases);
    return cases;
}

}  // namespace eigenscope::optest
