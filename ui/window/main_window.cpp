// SPDX-License-Identifier: GPL-3.0-or-later
#include "ui/window/main_window.h"

#include "ui/model/workspace.h"
#include "ui/widgets/job_bar.h"
#include "ui/widgets/message_bar.h"
#include "ui/widgets/nav_rail.h"
#include "ui/widgets/theme.h"
#include "ui/widgets/wheel_guard.h"
#include "ui/window/help_window.h"
#include "ui/window/project_actions.h"
#include "ui/window/top_bar.h"
#include "ui/workspaces/benchmark/benchmark_page.h"
#include "ui/workspaces/compare/compare_page.h"
#include "ui/workspaces/convert/convert_page.h"
#include "ui/workspaces/model/model_page.h"
#include "ui/workspaces/spectrum/spectrum_page.h"
#include "ui/workspaces/start/start_page.h"

#include <QAction>
#include <QActionGroup>
#include <QCloseEvent>
#include <QCoreApplication>
#include <QDir>
#include <QDragEnterEvent>
#include <QFileDialog>
#include <QFileInfo>
#include <QMenuBar>
#include <QMessageBox>
#include <QMimeData>
#include <QStackedWidget>
#include <QVBoxLayout>

#include <array>
#include <map>

namespace eigenscope {

namespace {

constexpr qint64 kWorthAskingMs = 10000;  // closing while a job has run longer than this asks first
const QString kGeometryKey = QStringLiteral("window/geometry");

bool isModel(const QString& path) {
    const QFileInfo info(path);
    const QString name = info.fileName();
    return info.isDir() || name == QLatin1String("config.json") ||
           name.endsWith(QLatin1String(".index.json")) ||
           (name.startsWith(QLatin1String("pytorch_model")) && name.endsWith(QLatin1String(".bin"))) ||
           (name.endsWith(QLatin1String(".safetensors")) &&
            !name.endsWith(QLatin1String(".stats.safetensors")));
}

}  // namespace

MainWindow::MainWindow(Workspace& workspace, Theme& theme, QWidget* parent)
    : QMainWindow(parent), m_workspace(workspace), m_theme(theme) {
    setAcceptDrops(true);
    QCoreApplication::instance()->installEventFilter(new WheelGuard(this));
    setMinimumSize(1024, 720);

    QAction* undo = workspace.plan().undoStack().createUndoAction(this);
    QAction* redo = workspace.plan().undoStack().createRedoAction(this);
    undo->setShortcut(QKeySequence::Undo);
    redo->setShortcuts({Qt::CTRL | Qt::SHIFT | Qt::Key_Z, Qt::CTRL | Qt::Key_Y});
    undo->setObjectName(QStringLiteral("undo"));
    redo->setObjectName(QStringLiteral("redo"));

    auto* central = new QWidget(this);
    auto* column = new QVBoxLayout(central);
    column->setContentsMargins(0, 0, 0, 0);
    column->setSpacing(0);
    m_top = new TopBar(workspace, theme, undo, redo, central);
    column->addWidget(m_top);
    auto* row = new QHBoxLayout;
    row->setSpacing(0);
    m_rail = new NavRail(theme, central);
    row->addWidget(m_rail);
    auto* content = new QVBoxLayout;
    content->setContentsMargins(kGap, kGap, kGap, kGap);
    content->setSpacing(kGap);
    m_messages = new MessageBar(central);
    content->addWidget(m_messages);
    m_pages = new QStackedWidget(central);
    content->addWidget(m_pages, 1);
    row->addLayout(content, 1);
    column->addLayout(row, 1);
    m_jobs = new JobBar(workspace.jobs(), theme, central);
    column->addWidget(m_jobs);
    setCentralWidget(central);
    // Nothing looks focused until the keyboard is used.
    central->setFocusPolicy(Qt::ClickFocus);
    central->setFocus();

    m_jobs->setDevice(workspace.deviceFallback(), workspace.deviceFallback());
    connect(m_rail, &NavRail::selected, this, [this](int index) { showPage(static_cast<PageId>(index)); });
    connect(&workspace, &Workspace::notice, m_messages, &MessageBar::showMessage);
    connect(&workspace, &Workspace::modelChanged, this, [this] {
        m_messages->hide();
        if (m_workspace.model() && m_pages->currentIndex() == static_cast<int>(PageId::Start)) {
            showPage(PageId::Model);
        }
    });
    addPages();
    m_project =
        new ProjectActions(workspace, static_cast<ComparePage*>(page(PageId::Compare))->comparison(), *this);
    connect(&m_project->project(), &ProjectDocument::opened, this, [this] {
        const bool arrived = m_pages->currentIndex() == static_cast<int>(PageId::Model);
        if (arrived && !m_workspace.plan().empty()) {
            showPage(PageId::Spectrum);
        }
    });
    addMenus();
    restoreLayout();
    showPage(PageId::Start);
}

void MainWindow::addPages() {
    struct Entry {
        Page* page;
        const char* icon;
        QString name, tooltip;
    };
    const std::array<Entry, 6> entries = {{
        {new StartPage(m_workspace, m_theme, this), "start", tr("Start"), tr("Open a model")},
        {new ModelPage(m_workspace, m_theme, this), "model", tr("Model"),
         tr("Architecture, weights, tokenizer, KV-cache size")},
        {new SpectrumPage(m_workspace, m_theme, this), "spectrum", tr("Spectrum"),
         tr("Eigenvalue spectra and ranks")},
        {new ConvertPage(m_workspace, m_theme, this), "convert", tr("Convert"),
         tr("Make the low-rank model")},
        {new ComparePage(m_workspace, m_theme, this), "compare", tr("Compare"),
         tr("Original and converted model side by side")},
        {new BenchmarkPage(m_workspace, m_theme, this), "benchmark", tr("Benchmark"),
         tr("Latency, throughput and memory over context length")},
    }};
    for (const Entry& entry : entries) {
        m_rail->addPage(QString::fromLatin1(entry.icon), entry.name, entry.tooltip);
        m_pages->addWidget(entry.page);
        connect(entry.page, &Page::readout, m_jobs, &JobBar::setReadout);
        connect(entry.page, &Page::pageRequested, this, &MainWindow::showPage);
    }
    auto* start = static_cast<StartPage*>(page(PageId::Start));
    connect(start, &StartPage::openRequested, this, &MainWindow::chooseModel);
    connect(start, &StartPage::pathRequested, this, [this](const QString& path) { openPaths({path}); });
}

void MainWindow::addMenus() {
    // The shortcuts live on the window; the menu bar shows them without taking room from the work.
    auto* file = menuBar()->addMenu(tr("&File"));
    file->addAction(tr("&Open model…"), QKeySequence::Open, this, &MainWindow::chooseModel);
    m_project->addTo(file);
    m_recent = file->addMenu(tr("Open &recent"));
    rebuildRecentMenu();
    connect(&m_workspace.settings(), &Settings::recentModelsChanged, this, &MainWindow::rebuildRecentMenu);
    file->addSeparator();
    file->addAction(tr("&Quit"), QKeySequence::Quit, this, &QWidget::close);

    auto* edit = menuBar()->addMenu(tr("&Edit"));
    edit->addAction(findChild<QAction*>(QStringLiteral("undo")));
    edit->addAction(findChild<QAction*>(QStringLiteral("redo")));

    auto* view = menuBar()->addMenu(tr("&View"));
    const QStringList names = {tr("Start"),   tr("Model"),   tr("Spectrum"),
                               tr("Convert"), tr("Compare"), tr("Benchmark")};
    for (int i = 0; i < names.size(); ++i) {
        view->addAction(names[i], QKeySequence(QStringLiteral("Ctrl+%1").arg(i + 1)), this,
                        [this, i] { showPage(static_cast<PageId>(i)); });
    }
    view->addSeparator();
    auto* look = new QActionGroup(this);
    const std::array<std::pair<QString, ThemeChoice>, 3> looks = {{{tr("As the system"), ThemeChoice::System},
                                                                   {tr("Light"), ThemeChoice::Light},
                                                                   {tr("Dark"), ThemeChoice::Dark}}};
    for (const auto& [name, choice] : looks) {
        QAction* action =
            view->addAction(name, this, [this, choice] { m_workspace.settings().setTheme(choice); });
        action->setCheckable(true);
        action->setChecked(m_workspace.settings().theme() == choice);
        look->addAction(action);
    }
    auto* jobs = menuBar()->addMenu(tr("&Jobs"));
    jobs->addAction(tr("&Cancel all"), QKeySequence(Qt::CTRL | Qt::Key_Period), this,
                    [this] { m_workspace.jobs().cancelAll(); });
    auto* help = menuBar()->addMenu(tr("&Help"));
    help->addAction(tr("&Contents"), QKeySequence::HelpContents, this, &MainWindow::showHelp);
    help->addSeparator();
    help->addAction(tr("&About Eigenscope"), this, [this] {
        QMessageBox::about(
            this, tr("About Eigenscope"),
            tr("<b>Eigenscope %1</b><p>Low-rank compression of a language model's KV cache "
               "(Eigen Attention, arXiv 2408.05646): spectra, ranks, conversion and comparison.</p>"
               "<p>%2</p><p>Window: GPL-3.0-or-later. Engine: Apache-2.0.</p>")
                .arg(QCoreApplication::applicationVersion(), m_workspace.deviceText().toHtmlEscaped()));
    });
}

void MainWindow::rebuildRecentMenu() {
    m_recent->clear();
    for (const QString& path : m_workspace.settings().recentModels()) {
        QAction* action = m_recent->addAction(path, this, [this, path] { openPaths({path}); });
        action->setEnabled(QFileInfo::exists(path));
    }
    m_recent->setEnabled(!m_recent->isEmpty());
    if (!m_recent->isEmpty()) {
        m_recent->addSeparator();
        m_recent->addAction(tr("Clear list"), this, [this] { m_workspace.settings().clearRecentModels(); });
    }
}

void MainWindow::restoreLayout() {
    const QByteArray geometry = m_workspace.settings().value(kGeometryKey).toByteArray();
    if (geometry.isEmpty() || !restoreGeometry(geometry)) {
        resize(1440, 900);
    }
}

Page* MainWindow::page(PageId page) const {
    return static_cast<Page*>(m_pages->widget(static_cast<int>(page)));
}

ProjectDocument& MainWindow::project() { return m_project->project(); }

void MainWindow::showPage(PageId page) {
    m_pages->setCurrentIndex(static_cast<int>(page));
    m_rail->setCurrent(static_cast<int>(page));
    m_jobs->setReadout({});
}

void MainWindow::showHelp() {
    if (!m_help)
        m_help = new HelpWindow(m_theme, this);
    const std::map<PageId, const char*> pages = {
        {PageId::Start, "start"},        {PageId::Model, "checkpoints"},  {PageId::Spectrum, "ranks"},
        {PageId::Convert, "conversion"}, {PageId::Compare, "conversion"}, {PageId::Benchmark, "benchmark"}};
    m_help->open(QString::fromLatin1(pages.at(static_cast<PageId>(m_pages->currentIndex()))));
}

void MainWindow::setDemoFolder(const QString& folder) {
    static_cast<StartPage*>(page(PageId::Start))->setDemoFolder(folder);
}

void MainWindow::chooseModel() {
    Settings& settings = m_workspace.settings();
    const QString folder =
        QFileDialog::getExistingDirectory(this, tr("Open a model directory (config.json and weights)"),
                                          settings.folder(QStringLiteral("model")));
    if (!folder.isEmpty()) {
        settings.setFolder(QStringLiteral("model"), QFileInfo(folder).absolutePath());
        m_workspace.openModel(folder);
    }
}

void MainWindow::openPaths(const QStringList& paths) {
    bool first_model = true;
    for (const QString& path : paths) {
        if (ProjectActions::isProject(path)) {
            m_project->open(path);
        } else if (isModel(path)) {
            if (first_model) {
                m_workspace.openModel(path);
                first_model = false;
            } else {
                m_workspace.openOtherModel(path);
                showPage(PageId::Compare);
            }
        } else if (path.endsWith(QLatin1String(".stats.safetensors"))) {
            if (!m_workspace.loadStatistics(path)) {
                m_messages->showMessage(tr("Open the model first"), tr("%1 belongs to a model.").arg(path),
                                        true);
            } else {
                showPage(PageId::Spectrum);
            }
        } else if (path.endsWith(QLatin1String(".json"))) {
            if (m_workspace.plan().empty()) {
                m_messages->showMessage(tr("Calibrate first"),
                                        tr("The plan %1 needs a calibrated model.").arg(path), true);
            } else {
                m_workspace.loadPlan(path);
                showPage(PageId::Spectrum);
            }
        } else {
            m_messages->showMessage(
                tr("Cannot open this"),
                tr("%1 is no project, model directory, statistics file or plan.").arg(path), true);
        }
    }
}

void MainWindow::dragEnterEvent(QDragEnterEvent* event) {
    if (event->mimeData()->hasUrls()) {
        event->acceptProposedAction();
        m_jobs->setReadout(tr("Drop a project, a model directory, statistics or a plan to open it"));
    }
}

void MainWindow::dropEvent(QDropEvent* event) {
    QStringList paths;
    for (const QUrl& url : event->mimeData()->urls()) {
        if (url.isLocalFile()) {
            paths.append(url.toLocalFile());
        }
    }
    m_jobs->setReadout({});
    openPaths(paths);
    event->acceptProposedAction();
}

void MainWindow::closeEvent(QCloseEvent* event) {
    if (!m_project->mayClose()) {
        event->ignore();
        return;
    }
    for (const Job* job : m_workspace.jobs().activeJobs()) {
        if (job->elapsedMs() > kWorthAskingMs) {
            const auto answer = QMessageBox::question(
                this, tr("Work is running"), tr("“%1” is still running. Stop it and quit?").arg(job->title()),
                QMessageBox::Yes | QMessageBox::No, QMessageBox::No);
            if (answer != QMessageBox::Yes) {
                event->ignore();
                return;
            }
            break;
        }
    }
    m_workspace.jobs().cancelAll();
    m_workspace.settings().setValue(kGeometryKey, saveGeometry());
    event->accept();
}

}  // namespace eigenscope
