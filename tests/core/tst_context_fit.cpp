// SPDX-License-Identifier: Apache-2.0
// Plans fitted to a context, against a search of all thresholds and bytes counted here by hand.
#include "core/compression/context_fit.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stop_token>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

constexpr int kLayers = 4, kQueryHeads = 4, kHeads = 2, kWidth = 16;

std::shared_ptr<const Spectrum> anySpectrum() {
    JobContext job;
    return computeSpectrum(job, *referenceBackend(),
                           randomStatistics(kLayers, kQueryHeads, kHeads, kWidth, true, 3), "eigen");
}

// The cache alone, in f16.
ContextGoal anyGoal(std::int64_t context, std::int64_t memory_bytes, int batch = 1) {
    ContextGoal goal;
    goal.original.layers = kLayers;
    goal.original.query_heads = kQueryHeads;
    goal.original.kv_heads = kHeads;
    goal.original.head_dim = kWidth;
    goal.context = context;
    goal.memory_bytes = memory_bytes;
    goal.batch = batch;
    goal.format = [](const RankPlan& plan) {
        KvFormat format(DType::F16);
        format.planned = plan.kv_bits.quantises();
        return format;
    };
    return goal;
}

// Two bytes an element, every head's latents of every layer.
std::int64_t bytesOf(const RankPlan& plan, std::int64_t context, int batch = 1) {
    const int ranks = std::accumulate(plan.key_ranks.begin(), plan.key_ranks.end(), 0) +
                      std::accumulate(plan.value_ranks.begin(), plan.value_ranks.end(), 0);
    return std::int64_t{2} * ranks * kHeads * context * batch;
}

std::int64_t uniformBytes(int key_rank, int value_rank, std::int64_t context) {
    return std::int64_t{2} * kLayers * (key_rank + value_rank) * kHeads * context;
}

ContextFit fitted(const RankPlan& plan, const Spectrum& spectrum, const ContextGoal& goal,
                  const MeasuredTables& tables = {}) {
    JobContext job;
    return fitContext(job, plan, spectrum, tables, goal);
}

}  // namespace

class TestContextFit : public QObject {
    Q_OBJECT
private slots:
    void theLargestThresholdThatFits();
    void sensitivitySharesItOut();
    void fullRanksWhereTheyFit();
    void weightsAndScratchCount();
    void whatWouldFitIsNamed();
    void fixedRanksAreNamed();
    void cancelled();
};

void TestContextFit::theLargestThresholdThatFits() {
    const auto spectrum = anySpectrum();
    const RankPlan plan = fullPlan(*spectrum, 1);
    for (const int batch : {1, 3}) {
        for (const double share : {0.2, 0.45, 0.7, 0.93}) {
            const std::int64_t context = 100;
            const auto memory =
                static_cast<std::int64_t>(share * static_cast<double>(uniformBytes(16, 16, context) * batch));
            const ContextFit fit = fitted(plan, *spectrum, anyGoal(context, memory, batch));
            QVERIFY(fit.plan);
            QCOMPARE(fit.bytes, bytesOf(*fit.plan, context, batch));
            QVERIFY(fit.bytes <= memory);
            QVERIFY(fit.plan->allocation == Allocation::Threshold);
            std::int64_t best = 0;
            for (int step = 0; step <= 5000; ++step) {
                RankPlan trial = plan;
                applyThresholds(trial, *spectrum, step / 5000.0, step / 5000.0);
                const std::int64_t bytes = bytesOf(trial, context, batch);
                if (bytes <= memory)
                    best = std::max(best, bytes);
            }
            QVERIFY(best > 0 && fit.bytes >= best);
        }
    }
}

void TestContextFit::sensitivitySharesItOut() {
    const auto spectrum = anySpectrum();
    SensitivityTable table;
    table.method = "eigen";
    for (int rank = 1; rank <= kWidth; ++rank)
        table.ranks.push_back(rank);
    for (int curve = 0; curve < 2 * kLayers; ++curve) {
        for (const int rank : table.ranks)
            table.kl.push_back(std::pow(4.0, curve / 2) * (std::exp(-rank / 4.0) - std::exp(-4.0)));
    }
    MeasuredTables tables;
    tables.sensitivity.push_back(table);
    RankPlan plan = fullPlan(*spectrum, 1);
    plan.allocation = Allocation::Sensitivity;
    // Every element is a choice of its own, so that the memory is used to less than a rank of one side.
    const std::int64_t context = 1000, memory = uniformBytes(8, 8, context) + 500;
    const ContextFit fit = fitted(plan, *spectrum, anyGoal(context, memory), tables);
    QVERIFY(fit.plan && fit.plan->allocation == Allocation::Sensitivity && fit.plan->kv_target);
    QCOMPARE(fit.bytes, uniformBytes(8, 8, context));
    QCOMPARE(fit.bytes, bytesOf(*fit.plan, context));
    QVERIFY(fit.plan->key_ranks.back() > fit.plan->key_ranks.front());  // where they count most
}

void TestContextFit::fullRanksWhereTheyFit() {
    const auto spectrum = anySpectrum();
    RankPlan plan = fullPlan(*spectrum, 8);
    applyThresholds(plan, *spectrum, 0.5, 0.5);
    const std::int64_t full = uniformBytes(16, 16, 100);
    const ContextFit fit = fitted(plan, *spectrum, anyGoal(100, full));
    QVERIFY(fit.plan);
    QCOMPARE(fit.bytes, full);
    QCOMPARE(fit.plan->key_ranks, std::vector<int>(kLayers, kWidth));
    const ContextFit less = fitted(plan, *spectrum, anyGoal(100, full - 1));
    QVERIFY(less.plan && less.bytes < full);
}

void TestContextFit::weightsAndScratchCount() {
    const auto spectrum = anySpectrum();
    const RankPlan plan = fullPlan(*spectrum, 1);
    ContextGoal goal = anyGoal(100, 0);
    goal.original.hidden_size = 64;
    goal.original.intermediate_size = 128;
    goal.original.vocab_size = 50;
    goal.original.max_positions = 1000;
    goal.weight_bytes = 1'000'000;
    const std::int64_t scratch = bytesNeeded(plan, goal) - 1'000'000 - uniformBytes(16, 16, 100);
    QVERIFY(scratch > 0);
    goal.memory_bytes = 1'000'000 + scratch + uniformBytes(16, 16, 100);
    QVERIFY(fitted(plan, *spectrum, goal).plan->key_ranks == plan.key_ranks);
    goal.memory_bytes = 1'000'000;
    const ContextFit none = fitted(plan, *spectrum, goal);
    QVERIFY(!none.plan);
    QCOMPARE(none.longest, 0);
    QCOMPARE(none.bits, 0);
    QVERIFY(none.bytes > 1'000'000 + uniformBytes(1, 1, 100));
}

void TestContextFit::whatWouldFitIsNamed() {
    const auto spectrum = anySpectrum();
    const RankPlan plan = fullPlan(*spectrum, 8);  // 8 is the smallest rank
    const std::int64_t smallest = uniformBytes(8, 8, 1000);
    const auto with = [&](std::int64_t memory) { return fitted(plan, *spectrum, anyGoal(1000, memory)); };
    const ContextFit close = with(smallest - 1);
    QVERIFY(!close.plan);
    QCOMPARE(close.bytes, smallest);
    QCOMPARE(close.longest, 999);
    QVERIFY(!close.unpinned);
    // A row of 8 elements in one group: codes, an f16 scale and an f16 zero; 12, 8, 7 and 6 bytes for the 16
    // of f16.
    for (const auto& [bytes, bits] : {std::pair(12, 8), {8, 4}, {7, 3}, {6, 2}}) {
        QCOMPARE(with(smallest / 16 * bytes).bits, bits);
        QVERIFY(with(smallest / 16 * bytes - 1).bits < bits);
        RankPlan coded = plan;
        coded.kv_bits = KvBits::uniform(kLayers, bits, bits);
        const ContextFit done = fitted(coded, *spectrum, anyGoal(1000, smallest / 16 * bytes));
        QVERIFY(done.plan);
        QCOMPARE(done.bytes, smallest / 16 * bytes);
    }
    QCOMPARE(with(uniformBytes(8, 8, 10)).bits, 0);
    QCOMPARE(with(uniformBytes(8, 8, 10)).longest, 10);
}

void TestContextFit::fixedRanksAreNamed() {
    const auto spectrum = anySpectrum();
    RankPlan plan = fullPlan(*spectrum, 8);
    pinRank(plan, *spectrum, Side::Keys, 1, 16);
    const std::int64_t smallest = uniformBytes(8, 8, 100) + std::int64_t{2} * 8 * kHeads * 100;
    const ContextFit fits = fitted(plan, *spectrum, anyGoal(100, smallest));
    QVERIFY(fits.plan);
    QCOMPARE(fits.plan->key_ranks, (std::vector<int>{8, 16, 8, 8}));
    const ContextFit pinned = fitted(plan, *spectrum, anyGoal(100, smallest - 1));
    QVERIFY(!pinned.plan && pinned.unpinned);
    QVERIFY(!fitted(plan, *spectrum, anyGoal(100, uniformBytes(8, 8, 100) - 1)).unpinned);
    plan = fullPlan(*spectrum, 8);
    setLayerThreshold(plan, *spectrum, Side::Values, 2, 1.0);
    const ContextFit own = fitted(plan, *spectrum, anyGoal(100, uniformBytes(8, 8, 100)));
    QVERIFY(!own.plan && own.unpinned);
}

void TestContextFit::cancelled() {
    const auto spectrum = anySpectrum();
    std::stop_source stop;
    stop.request_stop();
    JobContext job(stop.get_token());
    for (const std::int64_t memory : {std::int64_t{1}, uniformBytes(12, 12, 100)})
        QVERIFY_EXCEPTION_THROWN(fitContext(job, fullPlan(*spectrum), *spectrum, {}, anyGoal(100, memory)),
                                 Cancelled);
}

QTEST_GUILESS_MAIN(TestContextFit)
#include "tst_context_fit.moc"
