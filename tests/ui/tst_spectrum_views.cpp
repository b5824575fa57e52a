// SPDX-License-Identifier: Apache-2.0
// The parts of the Spectrum workspace on a spectrum with known answers.
#include "tests/ui/mouse.h"
#include "tests/ui/synthetic.h"
#include "ui/export/spectrum_png.h"
#include "ui/model/plan_document.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/spectrum/rank_bars.h"
#include "ui/workspaces/spectrum/rank_map.h"
#include "ui/workspaces/spectrum/spectrum_plot.h"

#include <QFileInfo>
#include <QImage>
#include <QMenu>
#include <QSignalSpy>
#include <QTemporaryDir>
#include <QTest>

#include <cmath>

using namespace eigenscope;
using namespace eigenscope::testing;

namespace {
constexpr int kLayers = 6, kHeads = 4, kWidth = 64;
}

class TestSpectrumViews : public QObject {
    Q_OBJECT
private slots:
    void initTestCase() {
        m_settings = std::make_unique<Settings>(
            std::make_unique<QSettings>(m_folder.filePath("settings.ini"), QSettings::IniFormat));
        m_theme = std::make_unique<Theme>(*m_settings);
    }

    void init() {
        m_document = std::make_unique<PlanDocument>();
        m_document->setSpectrum(syntheticSpectrum(kLayers, kHeads, kWidth));
        m_document->setThresholds(0.9, 0.9);
        m_document->undoStack().clear();
    }

    void cleanup() {
        m_shown.reset();
        m_document.reset();
    }

    void draggingTheThresholdMovesTheRanksAsOneStep() {
        auto* plot = show<SpectrumPlot>(QSize(700, 500));
        const RankPlan before = m_document->plan();
        const QPoint handle = plot->handleCentre(Side::Keys);
        QSignalSpy changed(m_document.get(), &PlanDocument::changed);
        dragMouse(plot, handle, handle + QPoint(-120, 90));
        QVERIFY(changed.count() > 3);  // live, not at the end
        const RankPlan& after = m_document->plan();
        QVERIFY(after.key_threshold < 0.85);
        QCOMPARE(after.value_threshold, before.value_threshold);
        for (int layer = 0; layer < kLayers; ++layer) {
            QCOMPARE(rankOf(after, Side::Keys, layer),
                     expectedLayerRank(layer, Side::Keys, after.key_threshold, kHeads, kWidth, 8));
        }
        QVERIFY(m_document->kvRatio() < kvRatioOf(before, kWidth));
        // The handle lies where it was dropped: the axis and the drag agree.
        QVERIFY(std::abs(plot->handleCentre(Side::Keys).y() - (handle.y() + 90)) <= 1);
        QCOMPARE(m_document->undoStack().count(), 1);
        m_document->undoStack().undo();
        QVERIFY(m_document->plan() == before);
        QVERIFY(!m_document->undoStack().canUndo());
    }

    void draggingElsewhereIsNotAnEdit() {
        auto* plot = show<SpectrumPlot>(QSize(700, 500));
        dragMouse(plot, QPoint(300, 300), QPoint(200, 350));
        QCOMPARE(m_document->undoStack().count(), 0);
    }

    void bothThresholdsHaveHandlesAndLinkMovesBoth() {
        auto* plot = show<SpectrumPlot>(QSize(700, 500));
        QVERIFY(plot->handleCentre(Side::Values).isNull());
        plot->setShown(ShownSides::Both);
        QVERIFY(!plot->handleCentre(Side::Values).isNull());
        // Equal thresholds: the handles stand side by side, each can be taken.
        const QPoint values = plot->handleCentre(Side::Values);
        dragMouse(plot, values, values + QPoint(0, 60));
        QCOMPARE(m_document->plan().key_threshold, 0.9);
        QVERIFY(m_document->plan().value_threshold < 0.9);
        plot->setLinked(true);
        const QPoint keys = plot->handleCentre(Side::Keys);
        dragMouse(plot, keys, keys + QPoint(0, 40));
        QCOMPARE(m_document->plan().key_threshold, m_document->plan().value_threshold);
    }

    void theKeyboardMovesThresholdAndRank() {
        auto* plot = show<SpectrumPlot>(QSize(700, 500));
        plot->setSelection({2, -1, Side::Keys});
        plot->setFocus();
        QTest::keyClick(plot, Qt::Key_Up);
        QVERIFY(std::abs(m_document->plan().key_threshold - 0.901) < 1e-12);
        QTest::keyClick(plot, Qt::Key_Down, Qt::ShiftModifier);
        QVERIFY(std::abs(m_document->plan().key_threshold - 0.891) < 1e-12);
        QCOMPARE(m_document->undoStack().count(), 2);
        const int rank = rankOf(m_document->plan(), Side::Keys, 2);
        QTest::keyClick(plot, Qt::Key_Right);
        QCOMPARE(rankOf(m_document->plan(), Side::Keys, 2), rank + 8);
        QVERIFY(isPinned(m_document->plan(), Side::Keys, 2));
        QTest::keyClick(plot, Qt::Key_Left);
        QTest::keyClick(plot, Qt::Key_Left);
        QCOMPARE(rankOf(m_document->plan(), Side::Keys, 2), rank - 8);
    }

    void aHeldKeyIsOneStep() {
        auto* plot = show<SpectrumPlot>(QSize(700, 500));
        plot->setFocus();
        QTest::keyPress(plot, Qt::Key_Down);
        for (int i = 0; i < 9; ++i) {
            QKeyEvent again(QEvent::KeyPress, Qt::Key_Down, Qt::NoModifier, QString(), true);
            QCoreApplication::sendEvent(plot, &again);
        }
        QTest::keyRelease(plot, Qt::Key_Down);
        QVERIFY(std::abs(m_document->plan().key_threshold - 0.890) < 1e-12);
        QCOMPARE(m_document->undoStack().count(), 1);
    }

    void zoomingDoesNotFightWithTheThreshold() {
        auto* plot = show<SpectrumPlot>(QSize(700, 500));
        const QPointF centre(350, 120);
        for (int i = 0; i < 4; ++i) {
            QWheelEvent wheel(centre, plot->mapToGlobal(centre), {}, {0, 120}, Qt::NoButton, Qt::NoModifier,
                              Qt::NoScrollPhase, false);
            QCoreApplication::sendEvent(plot, &wheel);
        }
        QVERIFY(plot->xAxis->range().size() < kWidth * 0.7);
        QVERIFY(plot->yAxis2->range().lower >= 0.0 && plot->yAxis2->range().upper <= 1.0);
        const QPoint handle = plot->handleCentre(Side::Keys);
        dragMouse(plot, handle, handle + QPoint(0, 30));
        QCOMPARE(m_document->undoStack().count(), 1);
        QVERIFY(std::abs(plot->handleCentre(Side::Keys).y() - (handle.y() + 30)) <= 1);
        const QRect area = plot->axisRect()->rect();
        const QPoint empty(area.left() + 10, area.bottom() - 10);
        QTest::mouseDClick(plot, Qt::LeftButton, {}, empty);
        QCOMPARE(plot->xAxis->range().size(), double(kWidth));
    }

    void theSpectrumTableIsTheSpectrum() {
        auto* plot = show<SpectrumPlot>(QSize(700, 500));
        plot->setSelection({1, 2, Side::Keys});
        const PlotTable table = plot->table();
        QCOMPARE(table.columns.join(','), QString("rank,keys_mean,keys_min,keys_max,keys_kept"));
        QCOMPARE(table.rows.size(), kWidth);
        const double q = decay(1, 2, Side::Keys);
        for (int i = 0; i < kWidth; ++i) {
            QCOMPARE(table.rows[i][1], std::pow(q, i));
            QVERIFY(std::abs(table.rows[i][4] - (1 - std::pow(q, i + 1)) / (1 - std::pow(q, kWidth))) <
                    1e-12);
        }
        QVERIFY(table.toCsv().startsWith("rank,keys_mean,"));
    }

    void plotsAreExportedWholeOrNotAtAll() {
        auto* plot = show<SpectrumPlot>(QSize(700, 500));
        QTemporaryDir folder;
        QString error;
        for (const char* suffix : {"png", "pdf", "csv"}) {
            const QString file = folder.filePath(QStringLiteral("plot.") + suffix);
            QVERIFY2(plot->exportTo(file, &error), qPrintable(error));
            QVERIFY(QFileInfo(file).size() > 500);
        }
        QCOMPARE(QImage(folder.filePath("plot.png")).size(), plot->size() * 2);
        QVERIFY(!plot->exportTo(folder.filePath("missing/plot.png"), &error));
        QVERIFY(error.contains("missing/plot.png"));
        QVERIFY(!plot->exportTo(folder.filePath("plot.tiff"), &error));
        QVERIFY(!QFileInfo::exists(folder.filePath("plot.tiff")));
    }

    void draggingABarPinsItsRank() {
        auto* bars = show<RankBars>(QSize(700, 220));
        const QRectF bar = bars->barRect(Side::Values, 3);
        const QPoint top(static_cast<int>(bar.center().x()), static_cast<int>(bar.top()));
        const double pixels = bars->yAxis->coordToPixel(0) - bars->yAxis->coordToPixel(48);
        const QPoint target(top.x(), static_cast<int>(bars->yAxis->coordToPixel(0) - pixels) + 2);
        QSignalSpy selected(bars, &RankBars::selected);
        dragMouse(bars, top, target);
        QCOMPARE(rankOf(m_document->plan(), Side::Values, 3), 48);  // snapped to the multiple
        QVERIFY(isPinned(m_document->plan(), Side::Values, 3));
        QVERIFY(!isPinned(m_document->plan(), Side::Keys, 3));
        QCOMPARE(m_document->undoStack().count(), 1);
        QCOMPARE(selected.constLast().at(0).toInt(), 3);
        // Double click lets go of it.
        const QRectF pinned = bars->barRect(Side::Values, 3);
        QTest::mouseDClick(bars, Qt::LeftButton, {}, pinned.center().toPoint());
        QVERIFY(!isPinned(m_document->plan(), Side::Values, 3));
        QCOMPARE(rankOf(m_document->plan(), Side::Values, 3),
                 expectedLayerRank(3, Side::Values, 0.9, kHeads, kWidth, 8));
    }

    void clickingABarOnlySelects() {
        auto* bars = show<RankBars>(QSize(700, 220));
        QSignalSpy selected(bars, &RankBars::selected);
        const QRectF bar = bars->barRect(Side::Keys, 5);
        QTest::mouseClick(bars, Qt::LeftButton, {},
                          QPoint(static_cast<int>(bar.center().x()), static_cast<int>(bar.top()) + 1));
        QCOMPARE(selected.count(), 1);
        QCOMPARE(selected[0][0].toInt(), 5);
        QVERIFY(selected[0][1].value<Side>() == Side::Keys);
        QCOMPARE(m_document->undoStack().count(), 0);
    }

    void barsByKeyboardAndContextMenu() {
        auto* bars = show<RankBars>(QSize(700, 220));
        bars->setSelection({1, -1, Side::Keys});
        bars->setFocus();
        const int rank = rankOf(m_document->plan(), Side::Keys, 1);
        QTest::keyClick(bars, Qt::Key_Up);
        QCOMPARE(rankOf(m_document->plan(), Side::Keys, 1), rank + 8);
        QVERIFY(isPinned(m_document->plan(), Side::Keys, 1));
        QContextMenuEvent event(QContextMenuEvent::Keyboard, QPoint(1, 1), bars->mapToGlobal(QPoint(1, 1)));
        QCoreApplication::sendEvent(bars, &event);
        auto* menu = bars->findChild<QMenu*>();
        QVERIFY(menu);
        QVERIFY(menu->actions().constFirst()->text().contains("layer 1 keys"));
        menu->actions().constFirst()->trigger();
        menu->close();
        QVERIFY(!isPinned(m_document->plan(), Side::Keys, 1));
        QTest::keyClick(bars, Qt::Key_Up);
        QTest::keyClick(bars, Qt::Key_Delete);
        QVERIFY(!isPinned(m_document->plan(), Side::Keys, 1));
        QSignalSpy selected(bars, &RankBars::selected);
        QTest::keyClick(bars, Qt::Key_Right);
        QCOMPARE(selected[0][0].toInt(), 2);
    }

    void theHeatMapShowsEveryHeadsRankAndSelects() {
        auto* map = show<RankMap>(QSize(240, 420));
        for (int layer = 0; layer < kLayers; ++layer) {
            for (int head = 0; head < kHeads; ++head) {
                QCOMPARE(map->rankAt(layer, head, Side::Keys),
                         expectedRank(layer, head, Side::Keys, 0.9, kWidth));
            }
        }
        QSignalSpy selected(map, &RankMap::selected);
        QTest::mouseClick(map, Qt::LeftButton, {}, map->cellRect(4, 1, Side::Keys).center());
        QCOMPARE(selected.count(), 1);
        QVERIFY((selected[0][0].value<Selection>() == Selection{4, 1, Side::Keys}));
        QTest::keyClick(map, Qt::Key_Down);
        QTest::keyClick(map, Qt::Key_Left);
        QTest::keyClick(map, Qt::Key_Left);
        QVERIFY((selected.constLast()[0].value<Selection>() == Selection{5, -1, Side::Keys}));
        QTest::keyClick(map, Qt::Key_Home);
        QVERIFY((selected.constLast()[0].value<Selection>() == Selection{0, -1, Side::Keys}));
        map->setShown(ShownSides::Both);
        QTest::mouseClick(map, Qt::LeftButton, {}, map->cellRect(2, 3, Side::Values).center());
        QVERIFY((selected.constLast()[0].value<Selection>() == Selection{2, 3, Side::Values}));
        QVERIFY(map->cellRect(2, 3, Side::Keys).right() < map->cellRect(2, 0, Side::Values).left());
        QVERIFY(!map->accessibleDescription().isEmpty());
    }

    void heatMapColoursFollowTheThreshold_data() {
        QTest::addColumn<int>("layers");
        QTest::addColumn<int>("heads");
        QTest::newRow("smallest") << 4 << 2;
        QTest::newRow("largest") << 80 << 64;
    }

    void heatMapColoursFollowTheThreshold() {
        QFETCH(int, layers);
        QFETCH(int, heads);
        m_document->setSpectrum(syntheticSpectrum(layers, heads, 128));
        m_document->setThresholds(0.9, 0.9);
        auto* map = show<RankMap>(QSize(240, 660));
        for (const double threshold : {0.9, 0.6}) {
            m_document->setThresholds(threshold, 0.9);
            const QImage picture = map->grab().toImage();
            // Not the selected row, whose outline covers cells.
            const QRect cell = map->cellRect(layers - 1, heads - 1, Side::Keys);
            const double fraction = map->rankAt(layers - 1, heads - 1, Side::Keys) / 128.0;
            const double scale = picture.devicePixelRatio();
            QCOMPARE(QColor(picture.pixel((QPointF(cell.topLeft() + QPoint(0, 0)) * scale).toPoint())),
                     Theme::viridis(fraction));
            QCOMPARE(map->rankAt(layers - 1, heads - 1, Side::Keys),
                     expectedRank(layers - 1, heads - 1, Side::Keys, threshold, 128));
        }
    }

    void theHeatMapIsExported() {
        auto* map = show<RankMap>(QSize(240, 420));
        map->setShown(ShownSides::Both);
        const PlotTable table = map->table();
        QCOMPARE(table.columns.join(','), QString("layer,head,key_rank,value_rank"));
        QCOMPARE(table.rows.size(), kLayers * kHeads);
        QCOMPARE(table.rows[kHeads * 2 + 1][3], double(expectedRank(2, 1, Side::Values, 0.9, kWidth)));
        QTemporaryDir folder;
        QString error;
        for (const char* suffix : {"png", "pdf", "csv"}) {
            const QString file = folder.filePath(QStringLiteral("map.") + suffix);
            QVERIFY2(exportFigure(map->figure(), file, &error), qPrintable(error));
            QVERIFY(QFileInfo(file).size() > 200);
        }
        const QImage picture(folder.filePath("map.png"));
        QCOMPARE(picture.size(), map->size() * 2);
        const QRect cell = map->cellRect(5, 3, Side::Values);
        QCOMPARE(QColor(picture.pixel(cell.topLeft() * 2 + QPoint(4, 4))),
                 Theme::viridis(map->rankAt(5, 3, Side::Values) / double(kWidth)));
    }

    void theFigureForTheTerminalIsDrawn() {
        QTemporaryDir folder;
        std::string error;
        const std::string file = folder.filePath("layer.png").toStdString();
        QVERIFY2(renderSpectrumPng(*m_document->spectrum(), 2, file, &error), error.c_str());
        const QImage picture(QString::fromStdString(file));
        QVERIFY(picture.width() >= 1600);
        int coloured = 0;
        for (int x = 0; x < picture.width(); x += 4) {
            for (int y = 0; y < picture.height(); y += 4) {
                coloured += picture.pixelColor(x, y).saturation() > 100 ? 1 : 0;
            }
        }
        QVERIFY(coloured > 200);  // curves, not an empty frame
        QVERIFY(!renderSpectrumPng(*m_document->spectrum(), 99, file, &error));
        QVERIFY(error.find("99") != std::string::npos);
        QVERIFY(!renderSpectrumPng(*m_document->spectrum(), 0, "/nonexistent/x.png", &error));
    }

private:
    template <typename Widget>
    Widget* show(const QSize& size) {
        auto* made = new Widget(*m_theme, *m_document);
        m_shown.reset(made);
        made->resize(size);
        made->show();
        if (!QTest::qWaitForWindowExposed(made)) {
            qFatal("the widget was not shown");
        }
        made->activateWindow();
        QCoreApplication::processEvents();
        return made;
    }

    QTemporaryDir m_folder;
    std::unique_ptr<Settings> m_settings;
    std::unique_ptr<Theme> m_theme;
    std::unique_ptr<PlanDocument> m_document;
    std::unique_ptr<QWidget> m_shown;
};

QTEST_MAIN(TestSpectrumViews)
#include "tst_spectrum_views.moc"
