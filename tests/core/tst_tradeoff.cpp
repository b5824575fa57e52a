// SPDX-License-Identifier: Apache-2.0
// Trade-off curves: each point against a conversion and a perplexity made by hand, and the table and picture.
#include "core/calibration/calibrate.h"
#include "core/compression/convert.h"
#include "core/compression/refit.h"
#include "core/evaluation/error_table.h"
#include "core/evaluation/sensitivity.h"
#include "core/evaluation/tradeoff.h"
#include "core/model/kv_cache.h"
#include "core/report/tradeoff_report.h"
#include "core/spectrum/allocation.h"
#include "tests/core/method_support.h"
#include "tests/support/backends.h"

#include <QTest>
#include <QXmlStreamReader>

#include <array>
#include <cmath>

using namespace eigenscope;
using namespace eigenscope::test;

namespace {

struct Measured {
    MethodGolden golden;
    Statistics statistics;
    TradeoffOptions options;
};

Measured prepare(const std::string& name) {
    Measured m{openMethodGolden(name, referenceBackend()), {}, {}};
    JobContext job;
    CalibrationOptions calibration;
    calibration.samples = 3;
    calibration.sequence_length = 40;
    m.statistics = calibrate(job, m.golden.open, m.golden.text, calibration);
    measureErrorTables(job, m.golden.open, m.statistics, 6, {});
    PerplexityOptions windows;
    windows.sequence_length = 30;
    windows.windows = 4;
    m.options.windows = evaluationWindows(job, *m.golden.open.tokenizer,
                                          m.golden.open.model->config.max_positions, m.golden.text, windows);
    m.options.refit_windows = {m.options.windows[0], m.options.windows[1]};
    m.options.ratios = {0.7, 0.4, 0.02};  // the last is below the smallest ranks
    m.options.rank_multiple = 1;
    return m;
}

}  // namespace

class TestTradeoff : public QObject {
    Q_OBJECT
private slots:
    void curvesFollowTheTables();
    void pointsAreWhatByHandGives_data();
    void pointsAreWhatByHandGives();
    void pointsInFewBits();
    void oneWindowHasNoError();
    void tableAndPicture();
    void badArguments();
    void cancels();
};

void TestTradeoff::curvesFollowTheTables() {
    Statistics s = randomStatistics(2, 4, 2, 8, true, 1);
    auto curves = availableCurves(s, Criterion::Energy);
    QCOMPARE(curves.size(), std::size_t{3});  // no attention moments: eigen alone
    QCOMPARE(curves[0].name, std::string("published"));
    QVERIFY(curves[0].options.share_key_basis);
    QVERIFY(curves[1].plain());
    QCOMPARE(curves[2].name, std::string("eigen + threshold"));
    QVERIFY(!curves[2].options.share_key_basis);
    SensitivityTable table;
    table.method = "eigen";
    s.tables.set(table);
    QCOMPARE(availableCurves(s, Criterion::Energy).size(), std::size_t{4});
    // Without rotary positions the published basis is each head's own: no need to draw it twice.
    s.rotary = false;
    curves = availableCurves(s, Criterion::Energy);
    QCOMPARE(curves.size(), std::size_t{3});
    QVERIFY(!curves[0].options.share_key_basis);
    QCOMPARE(curves[2].name, std::string("eigen + sensitivity"));
    LayerErrorTable errors;
    errors.method = "eigen";
    errors.criterion = "energy";
    s.tables.set(errors);
    QCOMPARE(availableCurves(s, Criterion::Energy).size(), std::size_t{4});
    QCOMPARE(availableCurves(s, Criterion::SingularValues).size(), std::size_t{3});
    table.quantised = QuantisedSensitivity{{.bits = {4}, .ranks = {8}}, {}};
    s.tables.set(table);
    curves = availableCurves(s, Criterion::SingularValues);
    QCOMPARE(curves.size(), std::size_t{4});
    QVERIFY(curves[3].mixed_bits);
    QCOMPARE(curves[3].name, std::string("eigen + sensitivity + mixed bits"));
}

void TestTradeoff::pointsAreWhatByHandGives_data() {
    QTest::addColumn<QString>("name");
    for (const std::string& name : methodGoldenNames())
        QTest::newRow(name.c_str()) << QString::fromStdString(name);
}

void TestTradeoff::pointsAreWhatByHandGives() {
    QFETCH(QString, name);
    Measured m = prepare(name.toStdString());
    const std::vector<TradeoffCurve> curves{publishedCurve(m.statistics),
                                            tradeoffCurve("attention-aware", Allocation::ErrorBudget),
                                            tradeoffCurve("eigen", Allocation::Threshold, true)};
    JobContext job;
    std::vector<TradeoffPoint> seen;
    const TradeoffResult result = measureTradeoff(job, m.golden.open, m.statistics, curves, m.options,
                                                  [&](const TradeoffPoint& p) { seen.push_back(p); });
    QCOMPARE(result.points.size(), std::size_t{6});
    QCOMPARE(seen.size(), result.points.size());
    const PerplexityResult original = perplexityOf(job, m.golden.open, m.options.windows, {});
    QCOMPARE(result.original.perplexity, original.perplexity);
    for (std::size_t i = 0; i < 6; ++i) {
        const TradeoffPoint& point = result.points[i];
        const TradeoffCurve& curve = curves[i / 2];
        QCOMPARE(point.curve, i / 2);
        QCOMPARE(point.target, m.options.ratios[i % 2]);
        const auto spectrum =
            computeSpectrum(job, *m.golden.open.backend, m.statistics, curve.method, curve.options);
        RankPlan plan = fullPlan(*spectrum, 1);
        plan.allocation = curve.allocation;
        applyTarget(plan, *spectrum, m.statistics.tables, point.target);
        QCOMPARE(point.key_ranks, plan.key_ranks);
        QCOMPARE(point.kv_ratio, kvRatioOf(plan, spectrum->basisWidth()));
        OpenModel converted = convertInMemory(job, m.golden.open, m.statistics, *spectrum, plan);
        if (curve.refit)
            converted = refitOutputs(job, m.golden.open, converted, m.options.refit_windows, {});
        const PerplexityResult measured = perplexityOf(job, converted, m.options.windows, {});
        QCOMPARE(point.perplexity, measured.perplexity);
        QCOMPARE(point.bytes_per_token, kvBytesPerToken(converted.model->config, DType::F32));
        const double lost = std::log(measured.perplexity / original.perplexity);
        QVERIFY(std::abs(point.nats_lost - lost) < 1e-12);
        double squares = 0;
        for (std::size_t w = 0; w < 4; ++w)
            squares += std::pow(measured.window_nll[w] - original.window_nll[w] - lost, 2);
        QVERIFY(std::abs(point.standard_error - std::sqrt(squares / 3 / 4)) < 1e-12);
    }
}

// Plain caches, and ranks and bits together, each against what a run by hand measures.
void TestTradeoff::pointsInFewBits() {
    Measured m = prepare("llama");
    JobContext job;
    const auto spectrum = computeSpectrum(job, *m.golden.open.backend, m.statistics, "attention-aware", {});
    const int width = spectrum->basisWidth();
    const QuantisedGrid grid{.bits = {8, 4}, .ranks = {width / 2, width}, .group = 8};
    m.statistics.tables.set(measureSensitivity(job, m.golden.open, m.statistics, *spectrum, m.options.windows,
                                               {width / 2, width}, {}, grid));
    m.options.mixed_ratios = {0.5, 0.02};  // the last is below the smallest
    m.options.plain.group = 8;
    const std::vector<TradeoffCurve> curves{plainCurve(), mixedCurve("attention-aware")};
    const TradeoffResult result = measureTradeoff(job, m.golden.open, m.statistics, curves, m.options);
    QCOMPARE(result.points.size(), std::size_t{5});
    for (std::size_t i = 0; i < 4; ++i) {
        const TradeoffPoint& point = result.points[i];
        const int bits = std::array{8, 4, 3, 2}[i];
        PerplexityOptions run;
        run.run.kv_format = KvFormat::quantised(bits);
        run.run.kv_format->group = 8;
        QCOMPARE(point.perplexity, perplexityOf(job, m.golden.open, m.options.windows, run).perplexity);
        // Codes and, for every 8 elements, a scale and a minimum of 2 bytes, over 2 bytes an element.
        QCOMPARE(point.kv_ratio, (bits / 8.0 + 4.0 / 8) / 2);
        QCOMPARE(point.bits.keys, std::vector<int>(2, bits));
        QVERIFY(std::isnan(point.expected_divergence));
    }
    QVERIFY(result.points[3].perplexity != result.points[0].perplexity);
    RankPlan plan = fullPlan(*spectrum, 1);
    plan.mixed_bits = true;
    plan.allocation = Allocation::Sensitivity;
    applyTarget(plan, *spectrum, m.statistics.tables, 0.5);
    const TradeoffPoint& mixed = result.points[4];
    QVERIFY(mixed.bits == plan.kv_bits);
    QCOMPARE(mixed.key_ranks, plan.key_ranks);
    QCOMPARE(mixed.kv_ratio, kvRatioOf(plan, width));
    QVERIFY(mixed.kv_ratio <= 0.5 && plan.kv_bits.quantises());
    QCOMPARE(mixed.expected_divergence,
             expectedDivergence(plan, *m.statistics.tables.findSensitivity("attention-aware", {})));
    const OpenModel converted = convertInMemory(job, m.golden.open, m.statistics, *spectrum, plan);
    QCOMPARE(mixed.perplexity, perplexityOf(job, converted, m.options.windows, {}).perplexity);
}

void TestTradeoff::oneWindowHasNoError() {
    Measured m = prepare("opt");
    m.options.windows.resize(1);
    m.options.ratios = {0.5};
    JobContext job;
    const TradeoffResult result =
        measureTradeoff(job, m.golden.open, m.statistics, {publishedCurve(m.statistics)}, m.options);
    QVERIFY(std::isnan(result.points.at(0).standard_error));
    const std::string csv = tradeoffCsv(result, {publishedCurve(m.statistics)});
    QVERIFY(csv.ends_with(",,,\n"));  // empty, not "nan"
}

void TestTradeoff::tableAndPicture() {
    TradeoffResult result;
    result.original.perplexity = 3.5;
    result.original_bytes_per_token = 512;
    const std::vector<TradeoffCurve> curves{tradeoffCurve("eigen", Allocation::Threshold),
                                            tradeoffCurve("eigen", Allocation::Sensitivity, true),
                                            plainCurve()};
    result.points = {{0, 0.8, 0.75, 384, 4, 0.125, 0.25, {}, {}, {}},
                     {0, 0.5, 0.5, 256, 7, 0.5, 0.25, {}, {}, {}},
                     {1, 0.5, 0.5, 256, 3.25, -0.0625, 0.01, {}, {}, {}, 0.03125},
                     {2, 0.3125, 0.3125, 160, 4, 0.125, 0.25, {}, {}, KvBits::uniform(2, 8, 4)}};
    QCOMPARE(tradeoffCsv(result, curves),
             std::string("method,allocation,refit,name,target,kv_ratio,bytes_per_token,perplexity,nats_lost,"
                         "standard_error,bits,expected_divergence\n"
                         "original,,false,original,1,1,512,3.5,0,0,,\n"
                         "eigen,threshold,false,eigen + threshold,0.8,0.75,384,4,0.125,0.25,,\n"
                         "eigen,threshold,false,eigen + threshold,0.5,0.5,256,7,0.5,0.25,,\n"
                         "eigen,sensitivity,true,eigen + sensitivity + "
                         "refit,0.5,0.5,256,3.25,-0.0625,0.01,,0.03125\n"
                         "plain,,false,\"plain cache, 8 to 2 bit\",0.3125,0.3125,160,4,0.125,0.25,"
                         "\"keys 8 bit, values 4 bit\",\n"));
    const std::string svg = tradeoffSvg(result, curves);
    QXmlStreamReader xml(QByteArray::fromStdString(svg));
    int points = 0;
    while (!xml.atEnd()) {
        if (xml.readNext() == QXmlStreamReader::StartElement && xml.name() == QStringLiteral("circle"))
            ++points;
    }
    QVERIFY2(!xml.hasError(), qPrintable(xml.errorString()));
    QCOMPARE(points, 4);
    QVERIFY(svg.find("nan") == std::string::npos);
    QVERIFY(svg.find("eigen + sensitivity + refit") != std::string::npos);
}

void TestTradeoff::badArguments() {
    Measured m = prepare("llama");
    JobContext job;
    const auto message = [&](const TradeoffCurve& curve) {
        return errorOf([&] { measureTradeoff(job, m.golden.open, m.statistics, {curve}, m.options); });
    };
    QVERIFY(message(tradeoffCurve("eigen", Allocation::Sensitivity)).find("no tables") != std::string::npos);
    QVERIFY(!message(tradeoffCurve("magic", Allocation::Threshold)).empty());
    m.options.refit_windows.clear();
    QVERIFY(message(tradeoffCurve("eigen", Allocation::Threshold, true)).find("no windows to refit") !=
            std::string::npos);
    m.options.ratios = {0.5, 0};
    QVERIFY(message(publishedCurve(m.statistics)).find("KV ratio") != std::string::npos);
    m.options.windows.clear();
    QVERIFY(message(publishedCurve(m.statistics)).find("no windows") != std::string::npos);
}

void TestTradeoff::cancels() {
    Measured m = prepare("mpt");
    std::stop_source stop;
    JobContext job(stop.get_token());
    int points = 0;
    QVERIFY_EXCEPTION_THROWN(measureTradeoff(job, m.golden.open, m.statistics,
                                             availableCurves(m.statistics, Criterion::Energy), m.options,
                                             [&](const TradeoffPoint&) {
                                                 ++points;
                                                 stop.request_stop();
                                             }),
                             Cancelled);
    QCOMPARE(points, 1);
}

QTEST_GUILESS_MAIN(TestTradeoff)
#include "tst_tradeoff.moc"
