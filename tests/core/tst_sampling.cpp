// SPDX-License-Identifier: Apache-2.0
// Sampling against exact probabilities, worked out here from the definitions.
#include "core/generation/sampling.h"
#include "kernels/api/error.h"
#include "tests/support/error_text.h"

#include <QTest>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

// Deterministic, distinct, in no order.
std::vector<float> someLogits(int count) {
    std::vector<float> logits;
    for (int i = 0; i < count; ++i) {
        logits.push_back(3.0f * std::sin(1.7f * static_cast<float>(i + 1)) + 0.01f * static_cast<float>(i));
    }
    return logits;
}

// Temperature, then the k largest, then the smallest set of those whose share reaches p, as definitions say:
// by sorting.
std::vector<double> exactProbabilities(const std::vector<float>& logits, const SamplingOptions& options) {
    std::vector<double> probability(logits.size());
    for (std::size_t i = 0; i < logits.size(); ++i) {
        probability[i] = std::exp(double{logits[i]} / double{options.temperature});
    }
    std::vector<std::size_t> order(logits.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return logits[a] > logits[b]; });
    const std::size_t k = options.top_k > 0
                              ? std::min<std::size_t>(order.size(), static_cast<std::size_t>(options.top_k))
                              : order.size();
    for (std::size_t i = k; i < order.size(); ++i) {
        probability[order[i]] = 0.0;
    }
    const double total = std::accumulate(probability.begin(), probability.end(), 0.0);
    double kept = 0.0;
    for (std::size_t i = 0; i < k; ++i) {
        if (kept >= double{options.top_p} * total) {
            probability[order[i]] = 0.0;
        }
        kept += probability[order[i]];
    }
    const double sum = std::accumulate(probability.begin(), probability.end(), 0.0);
    for (double& p : probability) {
        p /= sum;
    }
    return probability;
}

std::string messageOf(const SamplingOptions& options) {
    return errorOf([&] { Sampler sampler(options); });
}

}  // namespace

class TestSampling : public QObject {
    Q_OBJECT
private slots:
    void greedyTakesTheLargest() {
        Sampler sampler({});
        QCOMPARE(sampler.next(std::vector<float>{0.5f, 2.0f, -1.0f}), 1);
        // Equal logits: the smallest id, as argmax does.
        QCOMPARE(sampler.next(std::vector<float>{0.5f, 2.0f, 2.0f, 2.0f}), 1);
        QCOMPARE(sampler.next(std::vector<float>{-3.0f}), 0);
        const float nan = std::numeric_limits<float>::quiet_NaN(),
                    inf = std::numeric_limits<float>::infinity();
        QCOMPARE(sampler.next(std::vector<float>{nan, -inf, nan, 4.0f}), 3);
        QVERIFY_EXCEPTION_THROWN(sampler.next(std::vector<float>{nan, nan}), Error);
        QVERIFY_EXCEPTION_THROWN(sampler.next(std::vector<float>{}), Error);
    }

    void distribution_data() {
        QTest::addColumn<int>("top_k");
        QTest::addColumn<float>("top_p");
        QTest::addColumn<float>("temperature");
        QTest::newRow("all") << 0 << 1.0f << 1.0f;
        QTest::newRow("hot") << 0 << 1.0f << 2.5f;
        QTest::newRow("top-k") << 5 << 1.0f << 1.0f;
        QTest::newRow("top-k 1") << 1 << 1.0f << 1.0f;
        QTest::newRow("top-k beyond") << 500 << 1.0f << 1.0f;
        QTest::newRow("top-p") << 0 << 0.7f << 1.2f;
        QTest::newRow("tiny top-p") << 0 << 0.001f << 1.0f;
        QTest::newRow("both") << 10 << 0.8f << 1.5f;
    }
    void distribution() {
        QFETCH(int, top_k);
        QFETCH(float, top_p);
        QFETCH(float, temperature);
        const std::vector<float> logits = someLogits(40);
        const SamplingOptions options{temperature, top_k, top_p, 1234};
        const std::vector<double> exact = exactProbabilities(logits, options);
        Sampler sampler(options);
        constexpr int kDraws = 40000;
        std::vector<int> counts(logits.size());
        for (int i = 0; i < kDraws; ++i) {
            ++counts[static_cast<std::size_t>(sampler.next(logits))];
        }
        double chi_square = 0.0;
        int kinds = 0;
        for (std::size_t i = 0; i < counts.size(); ++i) {
            if (exact[i] == 0.0) {
                QCOMPARE(counts[i], 0);
                continue;
            }
            const double expected = exact[i] * kDraws;
            chi_square += (counts[i] - expected) * (counts[i] - expected) / expected;
            ++kinds;
        }
        // Chi-square with f degrees of freedom has mean f and variance 2 f; seven deviations above is far
        // beyond chance, and the seed is fixed.
        const double freedom = kinds - 1;
        QVERIFY2(chi_square <= freedom + 7.0 * std::sqrt(2.0 * freedom),
                 qPrintable(QString::number(chi_square)));
    }

    void sameSeedSameTokens() {
        const std::vector<float> logits = someLogits(200);
        const auto draw = [&](std::uint64_t seed) {
            Sampler sampler({1.0f, 0, 0.95f, seed});
            std::vector<TokenId> ids;
            for (int i = 0; i < 50; ++i) {
                ids.push_back(sampler.next(logits));
            }
            return ids;
        };
        QCOMPARE(draw(7), draw(7));
        QVERIFY(draw(7) != draw(8));
    }

    // Equal logits at the edge of top-k: the smaller ids stay.
    void tiesAtTheEdge() {
        const std::vector<float> logits{1.0f, 1.0f, 1.0f, 1.0f, 1.0f, 1.0f};
        Sampler by_count({1.0f, 3, 1.0f, 5}), by_share({1.0f, 0, 0.5f, 5});
        std::set<TokenId> counted, shared;
        for (int i = 0; i < 300; ++i) {
            counted.insert(by_count.next(logits));
            shared.insert(by_share.next(logits));
        }
        QCOMPARE(counted, (std::set<TokenId>{0, 1, 2}));
        QCOMPARE(shared, (std::set<TokenId>{0, 1, 2}));
    }

    // exp would overflow without the largest logit taken off first.
    void extremeLogits() {
        Sampler sampler({1e-3f, 0, 1.0f, 5});
        QCOMPARE(sampler.next(std::vector<float>{1e30f, 3e30f, -1e30f}), 1);
        const float inf = std::numeric_limits<float>::infinity();
        Sampler warm({1.0f, 0, 0.9f, 5});
        QCOMPARE(warm.next(std::vector<float>{-inf, 2.0f, -inf}), 1);
        QCOMPARE(warm.next(std::vector<float>{1.0f, inf, 2.0f}), 1);
    }

    void optionsAreChecked() {
        QCOMPARE(messageOf({-1.0f, 0, 1.0f, 0}),
                 "temperature: expected a number that is not negative, found -1.000000");
        QVERIFY(messageOf({std::nanf(""), 0, 1.0f, 0}).starts_with("temperature: "));
        QCOMPARE(messageOf({1.0f, -2, 1.0f, 0}), "top-k: expected 0 (all) or more, found -2");
        QCOMPARE(messageOf({1.0f, 0, 0.0f, 0}),
                 "top-p: expected a number above 0 and at most 1, found 0.000000");
        QVERIFY(messageOf({1.0f, 0, 1.5f, 0}).starts_with("top-p: "));
        QCOMPARE(messageOf({1.0f, 3, 0.5f, 0}), "");
    }
};

QTEST_GUILESS_MAIN(TestSampling)
#include "tst_sampling.moc"
