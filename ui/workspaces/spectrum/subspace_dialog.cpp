// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/workspaces/spectrum/subspace_dialog.h"

#include "ui/model/units.h"
#include "ui/model/workspace.h"
#include "ui/widgets/job_progress.h"
#include "ui/widgets/panel.h"
#include "ui/widgets/segmented_control.h"
#include "ui/widgets/theme.h"
#include "ui/workspaces/spectrum/overlap_plot.h"

#include <QDoubleSpinBox>
#include <QFileDialog>
#include <QFileInfo>
#include <QHBoxLayout>
#include <QPushButton>
#include <QSignalBlocker>
#include <QSpinBox>

namespace eigenscope {

namespace {

const QString kStatisticsFolder = QStringLiteral("statistics");

}  // namespace

SubspaceDialog::SubspaceDialog(Workspace& workspace, const Theme& theme, QWidget* parent)
    : QDialog(parent), m_workspace(workspace) {
    setObjectName(QStringLiteral("subspaceDialog"));
    setWindowTitle(tr("Compare bases of two texts"));
    resize(720, 480);
    build(theme);
    connect(&workspace, &Workspace::basesCompared, this, &SubspaceDialog::showComparison);
    connect(&workspace, &Workspace::modelChanged, this, &QDialog::close);
}

void SubspaceDialog::build(const Theme& theme) {
    auto* column = new QVBoxLayout(this);
    column->setSpacing(10);
    m_title = new QLabel(tr("Choose the statistics of another text."), this);
    m_title->setProperty("role", "headline");
    m_title->setWordWrap(true);
    column->addWidget(m_title);
    m_summary =
        mutedLabel(tr("Overlap is the mean squared cosine of the principal angles between the leading "
                      "directions of both: 1 for the same subspace."),
                   this);
    m_summary->setObjectName(QStringLiteral("overlapSummary"));
    m_summary->setWordWrap(true);
    column->addWidget(m_summary);
    auto* row = new QHBoxLayout;
    row->setSpacing(8);
    m_by = new SegmentedControl({tr("Energy"), tr("Rank")}, this);
    m_by->setToolTip(
        tr("Compare as many directions as keep a share of the energy, each text its own, or a "
           "fixed number"));
    m_threshold = new QDoubleSpinBox(this);
    m_threshold->setRange(0.5, 1.0);
    m_threshold->setSingleStep(0.01);
    m_threshold->setDecimals(3);
    m_threshold->setValue(SubspaceRank().threshold);
    m_threshold->setAccessibleName(tr("Share of the energy"));
    m_threshold->setKeyboardTracking(false);
    m_rank = new QSpinBox(this);
    m_rank->setAccessibleName(tr("Rank"));
    m_rank->setKeyboardTracking(false);
    m_rank->hide();
    auto* other = new QPushButton(tr("Other statistics…"), this);
    row->addWidget(m_by);
    row->addWidget(m_threshold);
    row->addWidget(m_rank);
    row->addStretch(1);
    row->addWidget(other);
    column->addLayout(row);
    m_plot = new OverlapPlot(theme, this);
    column->addWidget(m_plot, 1);
    auto* readout = mutedLabel(QString(), this);
    column->addWidget(readout);
    m_progress = new JobProgress(this);
    column->addWidget(m_progress);
    connect(m_plot, &Plot::readout, readout, &QLabel::setText);
    connect(m_by, &SegmentedControl::selected, this, [this](int index) {
        m_threshold->setVisible(index == 0);
        m_rank->setVisible(index == 1);
        compare();
    });
    connect(m_threshold, &QDoubleSpinBox::valueChanged, this, &SubspaceDialog::compare);
    connect(m_rank, &QSpinBox::valueChanged, this, &SubspaceDialog::compare);
    connect(other, &QPushButton::clicked, this, &SubspaceDialog::browse);
}

void SubspaceDialog::browse() {
    Settings& settings = m_workspace.settings();
    const QString file = QFileDialog::getOpenFileName(this, tr("Statistics of another text"),
                                                      settings.folder(kStatisticsFolder),
                                                      tr("Statistics (*.stats.safetensors);;All files (*)"));
    if (!file.isEmpty()) {
        settings.setFolder(kStatisticsFolder, QFileInfo(file).absolutePath());
        compareWith(file);
    }
}

void SubspaceDialog::compareWith(const QString& file) {
    m_file = file;
    if (const auto& spectrum = m_workspace.spectrum()) {
        const QSignalBlocker quiet(m_rank);
        m_rank->setRange(1, spectrum->basisWidth());
        m_rank->setValue(std::max(1, spectrum->basisWidth() / 2));
    }
    compare();
}

void SubspaceDialog::compare() {
    if (m_file.isEmpty()) {
        return;
    }
    SubspaceRank rank;
    rank.threshold = m_threshold->value();
    rank.rank = m_by->index() == 1 ? m_rank->value() : 0;
    m_progress->setJob(m_workspace.compareBases(m_file, rank));
}

void SubspaceDialog::showComparison(const BasesComparison& comparison) {
    m_title->setText(tr("%1 against %2").arg(comparison.text, comparison.other_text));
    double keys = 0, values = 0;
    for (const LayerSubspaces& layer : comparison.layers) {
        keys += meanOverlap(layer.keys) / static_cast<double>(comparison.layers.size());
        values += meanOverlap(layer.values) / static_cast<double>(comparison.layers.size());
    }
    m_summary->setText(tr("Mean overlap: keys %1, values %2. It is the mean squared cosine of the principal "
                          "angles between the leading directions of both texts: 1 for the same subspace; "
                          "dashed, what random subspaces of these ranks have.")
                           .arg(keys, 0, 'f', 3)
                           .arg(values, 0, 'f', 3));
    m_plot->setLayers(comparison.layers);
}

}  // namespace eigenscope
