// SPDX-License-Identifier: Apache-2.0
// The report's parts: numbers as text, charts as well-formed SVG with marks where they belong, differences
// marked.
#include "core/report/number_text.h"
#include "core/report/report.h"
#include "core/report/report_plots.h"
#include "core/report/spectrum_csv.h"
#include "core/report/svg_plot.h"

#include <QTest>
#include <QXmlStreamReader>

#include <cmath>
#include <limits>

using namespace eigenscope;

namespace {

QString s(const std::string& text) { return QString::fromStdString(text); }

// Counts elements with an attribute's value; fails the test when the text is not XML.
int elements(const std::string& svg, const char* name, const char* css = nullptr) {
    QXmlStreamReader reader(QByteArray::fromStdString(svg));
    int count = 0;
    while (!reader.atEnd()) {
        if (reader.readNext() == QXmlStreamReader::StartElement && reader.name() == QLatin1String(name) &&
            (!css || reader.attributes().value("class").contains(QLatin1String(css))))
            ++count;
    }
    if (reader.hasError())
        QTest::qFail(qPrintable(reader.errorString()), __FILE__, __LINE__);
    return count;
}

// Two layers, one head of four dimensions: eigenvalues 8, 4, 2, 2 and 10, 0, 0, 0.
Spectrum smallSpectrum() {
    HeadBasis falling, dead;
    falling.width = dead.width = 4;
    falling.eigenvalues = {8, 4, 2, 2};
    dead.eigenvalues = {10, 0, 0, 0};
    falling.encode = falling.decode = dead.encode =
        dead.decode = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1};
    return Spectrum("eigen", {}, 4, {{{falling}, {falling}}, {{dead}, {dead}}});
}

}  // namespace

class TestReport : public QObject {
    Q_OBJECT

private slots:
    void numbers() {
        QCOMPARE(s(text::bytes(512)), QString("512 B"));
        QCOMPARE(s(text::bytes(1536)), QString("1.50 KiB"));
        QCOMPARE(s(text::bytes(1023.9 * 1024)), QString("1.00 MiB"));
        QCOMPARE(s(text::bytes(306.0 * 1024)), QString("306 KiB"));
        QCOMPARE(s(text::bytes(13.5 * (1 << 30))), QString("13.5 GiB"));
        QCOMPARE(s(text::count(0)), QString("0"));
        QCOMPARE(s(text::count(999)), QString("999"));
        QCOMPARE(s(text::count(-1234567)), QString("-1,234,567"));
        QCOMPARE(s(text::shortCount(6.738e9)), QString("6.74 B"));
        QCOMPARE(s(text::percent(0.0182)), QString("1.82 %"));
        QCOMPARE(s(text::percent(std::numeric_limits<double>::quiet_NaN())), QString("-"));
        QCOMPARE(s(text::milliseconds(11.23)), QString("11.2 ms"));
        QCOMPARE(s(text::milliseconds(1350)), QString("1.35 s"));
        QCOMPARE(s(text::seconds(3750)), QString("1:02:30"));
        QCOMPARE(s(text::fixed(std::numeric_limits<double>::infinity(), 2)), QString("-"));
    }

    void ticks() {
        QCOMPARE(linearTicks(0, 1, 4), (std::vector<double>{0, 0.5, 1}));
        QCOMPARE(linearTicks(-0.5, 3.5, 8, true), (std::vector<double>{0, 1, 2, 3}));
        const std::vector<double> fine = linearTicks(0.12, 0.19, 4);
        QVERIFY(fine.size() >= 3 && fine.front() >= 0.12 && fine.back() <= 0.19 + 1e-9);
    }

    void chartIsXmlAndMarksAreInPlace() {
        SvgPlot plot(200, 100, {.label = "a < b & \"c\"", .min = 0, .max = 10},
                     {.label = "y", .min = 1e-4, .max = 1, .log = true});
        const std::vector<double> x = {0, 5, 10}, y = {1, 1e-2, 0};  // 0 is below the log axis: at its edge
        plot.line(x, y, "keys");
        plot.bar(1, 2, 0.1, "values", "<b>");
        const std::string svg = plot.svg("title & more");
        QCOMPARE(elements(svg, "polyline", "keys"), 1);
        QCOMPARE(elements(svg, "rect", "values"), 1);
        // Left 54, right 14, top 14, bottom 38: x from 54 to 186, y from 14 (at 1) to 62 (at 1e-4).
        QVERIFY2(svg.find("points=\"54.0,14.0 120.0,38.0 186.0,62.0 \"") != std::string::npos, svg.c_str());
        QVERIFY(svg.find("<b>") == std::string::npos);
        QVERIFY(svg.find("nan") == std::string::npos);
    }

    void charts() {
        const Spectrum spectrum = smallSpectrum();
        for (int layer = 0; layer < 2; ++layer) {
            const std::string svg = layerSpectrumPlot(spectrum, layer, Side::Keys, 2);
            QCOMPARE(elements(svg, "polyline"), 2);  // eigenvalues and energy
            QVERIFY(svg.find("nan") == std::string::npos && svg.find("inf") == std::string::npos);
        }
        // 12 of 16 are kept by the first two.
        QVERIFY(layerSpectrumPlot(spectrum, 0, Side::Keys, 2).find("rank 2, 75.0 % kept") !=
                std::string::npos);
        RankPlan plan = fullPlan(spectrum, 1);
        QCOMPARE(elements(rankBarsPlot(plan, 4), "title"), 4);
        QCOMPARE(elements(layerErrorPlot({0.1, 0.2}), "title"), 2);
        QCOMPARE(elements(layerErrorPlot({0, 0}), "title"), 2);
        QCOMPARE(elements(tokenKlPlot(std::vector<double>(1000, 0.5)), "title"), 200);  // groups of five
        QCOMPARE(elements(tokenKlPlot({}), "title"), 0);
        const double nan = std::numeric_limits<double>::quiet_NaN();
        QCOMPARE(
            elements(tradeOffPlot({{1, 4, 0, ""}, {0.5, 5, 0.1, ""}, {0.2, nan, nan, ""}}, 0.5), "circle"),
            3);
        QCOMPARE(elements(tradeOffPlot({{1, 4, 0, ""}, {0.5, 4, 0, ""}}, 0.5), "circle"), 2);
    }

    void differences() {
        QCOMPARE(s(markDifferences("the fox ran", "the fox ran")), QString("the fox ran"));
        QCOMPARE(s(markDifferences("the dog ran", "the fox ran")),
                 QString("the <mark class=\"first\">dog</mark> ran"));
        QCOMPARE(s(markDifferences("a <b> c d", "a c e")),
                 QString("a <mark class=\"first\">&lt;b&gt;</mark> c <mark>d</mark>"));
        QCOMPARE(s(markDifferences("", "a")), QString());
    }

    void csv() {
        const QStringList lines = s(spectrumCsv(smallSpectrum())).split('\n', Qt::SkipEmptyParts);
        QCOMPARE(lines.size(), 1 + 2 * 2 * 4);
        // Energy: 8 / 16; plain singular values: sqrt 8 / (sqrt 8 + 2 + 2 sqrt 2).
        const QStringList first = lines[1].split(',');
        QCOMPARE(first.mid(0, 6), QStringList({"0", "keys", "0", "1", "8", "0.5"}));
        QVERIFY(std::abs(first[6].toDouble() - std::sqrt(8) / (std::sqrt(8) + 2 + 2 * std::sqrt(2))) < 1e-8);
    }

    void page() {
        ReportData data;
        data.model_name = "a<b>";
        data.spectrum = std::make_shared<Spectrum>(smallSpectrum());
        data.plan = fullPlan(*data.spectrum, 1);
        data.layer_errors = {0.1, 0.2};
        data.comparison.token_kl = {0.1, 0.2, 0.3};
        data.prompt = "Once & again";
        data.generations[0].text = "the fox";
        data.generations[1].text = "the dog";
        data.commands = {"eigenscope-cli inspect 'a<b>'"};
        const std::string html = renderReport(data);
        QVERIFY(html.find("a<b>") == std::string::npos);
        QVERIFY(html.find("a&lt;b&gt;") != std::string::npos);
        QVERIFY(html.find("Once &amp; again") != std::string::npos);
        QVERIFY(html.find("<mark class=\"first\">dog</mark>") != std::string::npos);
        QVERIFY(html.find("prefers-color-scheme: dark") != std::string::npos);
    }
};

QTEST_GUILESS_MAIN(TestReport)
#include "tst_report.moc"
